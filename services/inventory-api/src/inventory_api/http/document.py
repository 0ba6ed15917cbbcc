"""The OpenAPI document beyond what the routes say themselves: keys and their scopes, refusals, examples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI

from inventory_api.domain.access import GUARDED, needed_scope

from .example_story import OF_ANSWER, SOME_ID, refusal, retold
from .response_examples import example_of

Json = dict[str, Any]

_KEY = {
    "type": "apiKey",
    "in": "header",
    "name": "X-API-Key",
    "description": "made by `resilience keys create NAME --scope read`; a private machine may let in callers without one",
}
_LINE = {"sku": "TEE-BLACK-M", "location": "central", "quantity": 2}
_MOVE = {"sku": "TEE-BLACK-M", "quantity": 2}
_CHANGE = {
    "sku": "TEE-BLACK-M",
    "location": "central",
    "delta": 12,
    "reason": "RECEIPT",
    "reference": "PO-2211",
}
EXAMPLES: dict[tuple[str, str], Json] = {
    ("post", "/v1/skus"): {
        "sku": "TEE-BLACK-M",
        "name": "T-shirt, black, M",
        "category": "apparel",
        "barcodes": ["4006381333931"],
        "reorder_point": 20,
        "unit_cost": "4.20",
    },
    ("post", "/v1/locations"): {"code": "central", "name": "Central warehouse", "type": "warehouse"},
    ("post", "/v1/availability:batch"): {"skus": ["TEE-BLACK-M", "TEE-BLACK-L"]},
    ("post", "/v1/reservations"): {"owner_ref": "cart-8675309", "lines": [_LINE], "ttl_s": 900},
    ("post", "/v1/reservations/{reservation_id}/confirm"): {"lines": [_LINE]},
    ("post", "/v1/reservations/{reservation_id}/release"): {"lines": [_LINE]},
    ("post", "/v1/reservations/{reservation_id}/extend"): {"ttl_s": 900},
    ("post", "/v1/adjustments"): _CHANGE,
    ("post", "/v1/adjustments:batch"): {"mode": "atomic", "items": [_CHANGE]},
    ("post", "/v1/counts"): {"sku": "TEE-BLACK-M", "location": "central", "counted": 118},
    ("post", "/v1/transfers"): {"source": "central", "destination": "store-042", "lines": [_MOVE]},
    ("post", "/v1/transfers/{transfer_id}/receive"): {"lines": [_MOVE]},
    ("post", "/v1/returns"): {
        "reservation_id": SOME_ID,
        "lines": [_LINE],
    },
    ("put", "/v1/stock/{sku}/locations/{location}"): {"safety_stock": 5, "reorder_point": 20},
    ("post", "/v1/assistant"): {"question": "What is running low?", "skus": ["TEE-BLACK-M"]},
    ("post", "/v1/exports"): {"location": "central"},
    ("post", "/v1/webhooks"): {
        "url": "https://shop.example/hooks",
        "kinds": ["low", "back"],
        "locations": ["central"],
    },
}
"""A body that the route takes, by method and path."""
ACCEPTED = "202"
_REFUSED = {
    401: "no key, or one that nobody has",
    403: "the key lacks the scope; `scope` names it",
    429: "more than the key may ask; `Retry-After` says when to come back",
}


def describe(app: FastAPI) -> None:
    """Let the application's document tell the whole of it."""
    plain = app.openapi

    def whole() -> Json:
        if app.openapi_schema is None:
            _complete(plain())
        return plain()

    app.openapi = whole  # type: ignore[method-assign] # FastAPI's documented way to extend the document


def _complete(document: Json) -> None:
    document["components"]["securitySchemes"] = {"key": _KEY}
    for method, path, operation in _operations(document):
        _add_example(operation, EXAMPLES.get((method, path)))
        if path.startswith(GUARDED):
            operation["security"] = [{"key": [needed_scope(method.upper(), path).value]}, {}]
            for status, description in _REFUSED.items():
                problem = {"schema": {"$ref": "#/components/schemas/ProblemOut"}}
                content = {"application/problem+json": problem}
                operation["responses"][str(status)] = {"description": description, "content": content}
        _add_answers(method, path, operation, document["components"]["schemas"])


def _operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def _add_example(operation: Json, example: Json | None) -> None:
    if example is not None:
        operation["requestBody"]["content"]["application/json"]["example"] = example


def _add_answers(method: str, path: str, operation: Json, schemas: Json) -> None:
    for status, response in operation["responses"].items():
        _call_a_problem_one(response)
        for media, content in response.get("content", {}).items():
            if not media.endswith("json") or not content.get("schema") or "example" in content:
                continue
            example = example_of(content["schema"], schemas)
            if media == "application/problem+json":
                told = refusal(int(status.replace("XX", "00")), path, response["description"])
                content["example"] = example | {name: told[name] for name in told if name in example}
            else:
                other = None if status == ACCEPTED else OF_ANSWER.get((method, path))
                content["example"] = retold(example, other) if other else example


def _call_a_problem_one(response: Json) -> None:
    """FastAPI puts the schema of every answer under `application/json`."""
    content = response.get("content", {})
    if content.get("application/problem+json") == {}:
        content["application/problem+json"] = content.pop("application/json", {})
