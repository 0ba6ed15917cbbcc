"""The OpenAPI document: keys where they are needed, refusals as problems, examples that are true."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import jsonschema
import pytest

from inventory_api.http.app import open_live
from inventory_api.http.document import EXAMPLES
from inventory_api.http.live import Live
from tests.inventory_api.test_http import Bench

BODILESS = ("/ship", "/cancel")
PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    app = Bench().app
    open_live(app, cast("Live", None))
    return app.openapi()


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method, path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def test_everything_under_v1_names_the_key_and_its_scope(document: dict[str, Any]) -> None:
    scheme = document["components"]["securitySchemes"]["key"]
    assert (scheme["type"], scheme["in"], scheme["name"]) == ("apiKey", "header", "X-API-Key")
    needed = {at: each.get("security") for at, each in operations(document).items()}
    assert {at for at, security in needed.items() if not security} == {
        ("get", f"/health/{name}") for name in ("live", "ready", "startup")
    }
    assert needed["post", "/v1/reservations"] == [{"key": ["reserve"]}, {}]
    assert needed["post", "/v1/adjustments"] == [{"key": ["write"]}, {}]
    assert needed["post", "/v1/availability:batch"] == [{"key": ["read"]}, {}]


def test_every_refusal_is_declared_as_a_problem(document: dict[str, Any]) -> None:
    for at, operation in operations(document).items():
        if at[1].startswith("/v1/"):
            responses = operation["responses"]
            refusals = {status for status in responses if status[0] in "45"}
            assert {"401", "403", "404", "409", "422", "429", "503"} <= refusals, at
            for status in refusals:
                assert PROBLEM in responses[status].get("content", {PROBLEM: {}}), (at, status)


def test_every_body_has_an_example_that_its_schema_takes(document: dict[str, Any]) -> None:
    seen = set()
    for at, operation in operations(document).items():
        content = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if content is not None and not at[1].endswith(BODILESS):
            seen.add(at)
            schema = {**content["schema"], "components": document["components"]}
            jsonschema.validate(content["example"], schema, jsonschema.Draft202012Validator)

    assert seen == {at for at in EXAMPLES if at in operations(document)}


def test_every_answer_has_an_example_that_its_schema_takes(document: dict[str, Any]) -> None:
    shown = 0
    for at, operation in operations(document).items():
        for status, response in operation["responses"].items():
            for media, content in response.get("content", {}).items():
                if not media.endswith("json") or not content.get("schema"):
                    continue
                schema = {**content["schema"], "components": document["components"]}
                jsonschema.validate(
                    content["example"],
                    schema,
                    jsonschema.Draft202012Validator,
                    format_checker=jsonschema.FormatChecker(),
                )
                assert not media.startswith("application/problem") or content["example"]["status"] == int(
                    status.replace("XX", "00")
                ), at
                shown += status.startswith("2")

    assert shown >= 30


def told(document: dict[str, Any]) -> Iterator[tuple[tuple[str, str], str, dict[str, Any]]]:
    """Yield every object in every example, with the operation and the status that it is of."""

    def objects(value: object) -> Iterator[dict[str, Any]]:
        if isinstance(value, dict):
            yield value
        for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            yield from objects(each)

    for at, operation in operations(document).items():
        for status, response in operation["responses"].items():
            for content in response.get("content", {}).values():
                for each in objects(content.get("example")):
                    yield at, status, each


GOES_TOGETHER: dict[str, tuple[set[str], Callable[[dict[str, Any]], bool]]] = {
    "what is available": (
        {"on_hand", "reserved", "safety_stock"},
        lambda each: each["available"] == each["on_hand"] - each["reserved"] - each["safety_stock"],
    ),
    "ledger": ({"before", "after"}, lambda each: each["after"] == each["before"] + each["delta"]),
    "line of a reservation": (
        {"held"},
        lambda each: (
            each["quantity"] == each["held"] + each["confirmed"] + each["released"] + each["expired"]
        ),
    ),
    "line of a transfer": (
        {"shipped"},
        lambda each: (
            each["shipped"] == each["in_transit"] + each["received"] + each["returned"] + each["lost"]
        ),
    ),
    "expiry": ({"expires_at"}, lambda each: each["expires_at"] > each["created_at"]),
    "operation": (
        {"accepted_at"},
        lambda each: (
            (each["status"] == "accepted") == (each["finished_at"] is None) == (each["code"] is None)
        ),
    ),
    "entry and level": (
        {"entry", "level"},
        lambda each: each["entry"]["after"] == each["level"]["on_hand"],
    ),
    "low stock": ({"since", "reorder_point"}, lambda each: each["available"] <= each["reorder_point"]),
    "sum of locations": (
        {"locations", "available"},
        lambda each: each["available"] == sum(level["available"] for level in each["locations"]),
    ),
    "name": ({"name"}, lambda each: "sku" in each or each["name"] != "T-shirt, black, M"),
}


def contradictions(each: dict[str, Any]) -> list[str]:
    """Name what does not go together in an object."""
    return [
        what for what, (members, right) in GOES_TOGETHER.items() if members <= each.keys() and not right(each)
    ]


def test_no_example_contradicts_itself(document: dict[str, Any]) -> None:
    found = {(at, status, what) for at, status, each in told(document) for what in contradictions(each)}

    assert found == set()


def test_examples_of_problems_bear_their_own_code(document: dict[str, Any]) -> None:
    codes = {status: each["code"] for _, status, each in told(document) if "instance" in each}

    assert codes["409"] == "insufficient_stock"
    assert codes["401"] == "key_needed"
    assert not {"text", "central"} & set(codes.values())
