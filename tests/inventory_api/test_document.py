"""The OpenAPI document: keys where they are needed, refusals as problems, examples that are true."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from inventory_api.http.document import EXAMPLES
from tests.inventory_api.test_http import Bench

BODILESS = ("/ship", "/cancel")
PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return Bench().app.openapi()


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
