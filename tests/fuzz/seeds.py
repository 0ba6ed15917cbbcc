"""What a fuzzer begins with: inputs that are understood, of every kind."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).parent.parent / "contract" / "golden"
BASE = {"variants": {"fast": "F", "slow": "S", "off": ""}, "default": "slow", "off": "off"}
CALLERS: tuple[dict[str, Any], ...] = (
    {},
    {"targetingKey": "anna", "tier": "gold", "country": "DE", "age": 30, "cart": 99.5, "beta": True},
    {"targetingKey": "\ud800", "tier": None, "age": 10**400, "cart": -0.0, "beta": [1], "scope": "default"},
)
TARGETS: tuple[dict[str, Any], ...] = (
    {"when": {"tier": {"one_of": ["gold", 1, True]}}, "serve": "fast"},
    {"when": {"age": {"at_least": 18, "below": 65.5}, "beta": {"none_of": [False]}}, "serve": "fast"},
    {"when": {"country": {"starts_with": "D", "ends_with": "E", "contains": "D"}}, "serve": "fast"},
    {"serve": {"fast": 33.33, "slow": 66.67}},
)


def records() -> Iterator[bytes]:
    """Give every golden event, in binary and in structured mode."""
    for path in sorted(GOLDEN.glob("*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        headers, value = record["headers"], record["value"]
        yield _input(headers, json.dumps(value))
        attributes = {
            name.removeprefix("ce_"): text for name, text in headers.items() if name != "content-type"
        }
        structured = {"content-type": "application/cloudevents+json"}
        yield _input(structured, json.dumps({**attributes, "data": value}))


def _input(headers: dict[str, str], value: str) -> bytes:
    return "".join(f"{name}:{text}\n" for name, text in headers.items()).encode() + b"\n" + value.encode()


def questions() -> Iterator[bytes]:
    """Give flags of every kind and callers of every kind."""
    needs = {"needs": ["s3"], "up_to": "DEGRADED"}
    others = {"prerequisites": {"a.first": ["fast"], "inventory.reservations": ["enabled"]}}
    for target in TARGETS:
        flags = {"a.first": {**BASE, "targeting": [target]}, "a.second": {**BASE, **needs, **others}}
        for caller in CALLERS:
            for level, down in ((0, []), (2, ["s3"]), (None, [])):
                head = {"level": level, "down": down, "flags": flags}
                yield json.dumps(head).encode() + b"\n" + json.dumps({"context": caller}).encode()


SEEDS: dict[str, Callable[[], Iterator[bytes]]] = {"codec": records, "resolver": questions}
"""By target."""
