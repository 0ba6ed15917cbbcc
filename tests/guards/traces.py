"""The recorded traces of resilience4j 2.4.0, and how one is replayed on our circuit.

One millisecond of a trace is one second of the circuit's clock, so that every time is a whole number and no
comparison of times is rounded.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from resilience_guards import BreakerEvent, BreakerSettings, Circuit, EventKind, IllegalMove, Permit, State

DATA = Path(__file__).parent / "data"
MS_PER_BUCKET = 1000

MOVES = {
    "closed": State.CLOSED,
    "open": State.OPEN,
    "openfor": State.OPEN,
    "half": State.HALF_OPEN,
    "forced": State.FORCED_OPEN,
    "disabled": State.DISABLED,
    "metrics": State.METRICS_ONLY,
}


@dataclass(frozen=True, slots=True)
class Step:
    """What is seen after one operation."""

    answer: str
    state: str
    failure_percent: str
    slow_percent: str
    calls: int
    failed: int
    slow: int
    not_permitted: int
    transitions: tuple[str, ...]


_NAMES = [field.name for field in fields(Step)]


@dataclass(frozen=True, slots=True)
class Trace:
    number: int
    config: dict[str, Any]
    ops: list[list[Any]]
    expected: list[Step]


@cache
def traces() -> list[Trace]:
    with gzip.open(DATA / "golden_traces.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [_parse(number, json.loads(line)) for number, line in enumerate(lines)]


def _parse(number: int, line: dict[str, Any]) -> Trace:
    expected = [
        Step(**dict(zip(_NAMES, [*step[:-1], tuple(step[-1])], strict=True))) for step in line["expect"]
    ]
    return Trace(number, line["config"], line["ops"], expected)


def settings(config: dict[str, Any]) -> BreakerSettings:
    initial, multiplier, cap = config.get("expwait", [config.get("wait"), 1.0, config.get("wait")])
    by_time = config["type"] == "TIME"
    return BreakerSettings(
        window_calls=config["size"],
        window_s=config["size"] * MS_PER_BUCKET if by_time else None,
        window_bucket_s=MS_PER_BUCKET,
        minimum_calls=config["min"],
        failure_rate=config["fr"] / 100,
        slow_call_s=config["slow"],
        slow_rate=config["sr"] / 100,
        open_wait_s=initial,
        open_wait_multiplier=multiplier,
        open_wait_cap_s=cap,
        open_wait_jitter=0,
        half_open_on_time=config.get("auto", False),
        half_open_permits=config["half"],
        half_open_limit_s=config.get("maxhalf") or None,
        half_open_limit_to=State(config.get("maxhalfto", "OPEN")),
        permit_lease_s=float("inf"),
        is_ignored=lambda error: isinstance(error, LookupError),
        is_failure=lambda error: isinstance(error, OSError),
    )


class Replay:
    """One trace on one circuit."""

    def __init__(self, trace: Trace) -> None:
        self._ops = trace.ops
        self._now = float(trace.config["t0"])
        self._circuit = Circuit("replay", settings(trace.config), lambda: self._now)
        self._permits: dict[int, Permit] = {}
        self._heard: list[str] = []
        self._circuit.on_event(self._hear)

    def _hear(self, event: BreakerEvent) -> None:
        if event.kind is EventKind.TRANSITION:
            self._heard.append(f"{event.previous}>{event.state}")

    def steps(self) -> Iterator[Step]:
        for op in self._ops:
            self._heard.clear()
            yield self._see(self._do(*op))

    def _do(self, name: str, *arguments: Any) -> str:
        circuit = self._circuit
        match name, arguments:
            case "t", (now,):
                self._now = float(now)
                circuit.poll()
            case "acq", (number,):
                permit = circuit.try_acquire()
                if permit is None:
                    return "false"
                self._permits[number] = permit
                return "true"
            case _, (int(number), *_) if name in {"ok", "err", "res", "rel"}:
                self._report(name, self._permits[number], arguments[1:])
            case _:
                return self._move(name, *arguments)
        return "-"

    def _report(self, name: str, permit: Permit, kind: tuple[str, ...]) -> None:
        if name == "rel" or kind == ("I",):
            self._circuit.released(permit)
        elif kind in {("F",), ("bad",)}:
            self._circuit.failed(permit)
        else:
            self._circuit.succeeded(permit)

    def _move(self, name: str, for_ms: float | None = None) -> str:
        try:
            self._circuit.move(MOVES[name], for_ms)
        except IllegalMove:
            return "EXC"
        return "-"

    def _see(self, answer: str) -> Step:
        seen = self._circuit.snapshot()
        return Step(
            answer,
            seen.state,
            _percent(seen.failure_rate),
            _percent(seen.slow_rate),
            seen.calls,
            seen.failed,
            seen.slow,
            seen.not_permitted,
            tuple(self._heard),
        )


def _percent(rate: float | None) -> str:
    return "-1" if rate is None else f"{rate * 100:.4f}"
