"""The committed documents are current, valid, and true of what is really sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from docs.contracts.generate import DIRECTORY, generate
from resilience_contracts import EVENTS, Event, Topic, decode, default_policy_text, encode
from tests.contracts.states import EXAMPLES

HERE = Path(__file__).parent
GOLDEN = HERE / "golden"
ASYNCAPI: dict[str, Any] = json.loads(generate()["asyncapi.json"])


def test_the_committed_documents_are_current() -> None:
    committed = {path.name: path.read_text(encoding="utf-8") for path in DIRECTORY.glob("*.json")}

    assert committed == generate(), "run `make contracts`"


def test_the_asyncapi_document_follows_its_specification() -> None:
    schema = json.loads((HERE / "data" / "asyncapi-3.0.0.schema.json").read_text(encoding="utf-8"))

    jsonschema.Draft7Validator(schema).validate(ASYNCAPI)


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [ref for value in node.values() for ref in references(value)]
    return [ref for item in node for ref in references(item)] if isinstance(node, list) else []


def test_every_reference_resolves() -> None:
    found = references(ASYNCAPI)

    assert found
    for reference in found:
        if reference.startswith("./"):
            assert (DIRECTORY / reference).is_file(), reference
            continue
        node: Any = ASYNCAPI
        for step in reference.removeprefix("#/").split("/"):
            assert step in node, reference
            node = node[step]


def test_every_public_topic_is_described() -> None:
    described = {channel["address"] for channel in ASYNCAPI["channels"].values()}

    assert described == {str(event.topic) for event in EVENTS}
    assert {str(topic) for topic in Topic} - described == {
        Topic.ENGINE_STATE,
        Topic.WEBHOOKS,
        Topic.STOCK_WEBHOOKS,
    }


@pytest.mark.parametrize("event", EXAMPLES.values(), ids=EXAMPLES)
def test_what_is_sent_follows_its_schema(event: Event) -> None:
    schema = json.loads((DIRECTORY / f"{event.type}.json").read_text(encoding="utf-8"))

    jsonschema.Draft202012Validator(schema).validate(json.loads(encode(event, "/t").value or b""))


def test_every_event_type_has_an_example() -> None:
    assert {type(event) for event in EXAMPLES.values()} == set(EVENTS)


def keeps(now: Any, then: Any) -> bool:
    """Say whether everything that was said then is said now; fields may have come at any depth."""
    if isinstance(then, dict):
        return isinstance(now, dict) and all(
            key in now and keeps(now[key], told) for key, told in then.items()
        )
    if isinstance(then, list):
        return isinstance(now, list) and len(now) == len(then) and all(map(keeps, now, then))
    return bool(now == then)


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_records_of_every_earlier_version_still_parse(path: Path) -> None:
    golden = json.loads(path.read_text(encoding="utf-8"))
    headers = [(name, value.encode()) for name, value in golden["headers"].items()]

    got = decode(json.dumps(golden["value"]).encode(), headers)

    assert keeps(json.loads(got.event.model_dump_json()), golden["value"])


def test_every_example_has_a_golden_record() -> None:
    assert {path.stem.split(".")[0] for path in GOLDEN.glob("*.json")} == set(EXAMPLES)


def test_the_default_policy_follows_its_schema() -> None:
    schema = json.loads((DIRECTORY / "policy.json").read_text(encoding="utf-8"))

    jsonschema.Draft202012Validator(schema).validate(yaml.safe_load(default_policy_text()))
