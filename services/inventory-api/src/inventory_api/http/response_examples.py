"""Examples of answers, made from their schemas and one story: no field can be forgotten, and none outlives itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .example_story import OF_SCHEMA, retold

Json = dict[str, Any]

_ID = "6f1c7f9e-2f7b-4a53-9f0e-0c7d1b8f3a11"
_TIME = "2026-11-25T09:30:00.000Z"
VALUES: Mapping[str, Any] = {
    "sku": "TEE-BLACK-M",
    "name": "T-shirt, black, M",
    "category": "apparel",
    "barcodes": "4006381333931",
    "location": "central",
    "code": "central",
    "source": "central",
    "destination": "store-042",
    "owner_ref": "cart-8675309",
    "reference": "PO-2211",
    "reason": "RECEIPT",
    "actor": "till-4",
    "id": _ID,
    "unit_cost": "4.20",
    "quantity": 2,
    "on_hand": 120,
    "available": 113,
    "reserved": 2,
    "safety_stock": 5,
    "reorder_point": 20,
    "delta": 12,
    "before": 108,
    "after": 120,
    "next_cursor": None,
}
"""What a property of this name shows, where its schema takes it."""


def example_of(schema: Json, components: Json, name: str = "") -> Any:
    """Return a value that a schema takes.

    Args:
        schema: as FastAPI writes it: references, alternatives, objects, lists, plain types.
        components: the document's schemas by name.
        name: of the property that it is for.
    """
    if "$ref" in schema:
        kind = schema["$ref"].rpartition("/")[2]
        example = example_of(components[kind], components, name)
        return retold(example, OF_SCHEMA[kind]) if kind in OF_SCHEMA else example
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    options = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
    if options:
        return _of_options(options, components, name)
    if "properties" in schema:
        return {key: example_of(each, components, key) for key, each in schema["properties"].items()}
    return _plain(schema, components, name)


def _of_options(options: list[Json], components: Json, name: str) -> Any:
    if name in VALUES and VALUES[name] is None and {"type": "null"} in options:
        return None
    return example_of(next(each for each in options if each.get("type") != "null"), components, name)


def _plain(schema: Json, components: Json, name: str) -> Any:
    kind, known = schema.get("type"), VALUES.get(name)
    if kind == "array":
        return [example_of(schema["items"], components, name)] if schema.get("items") else []
    if kind == "object":
        inner = schema.get("additionalProperties")
        return {"example": example_of(inner, components)} if isinstance(inner, dict) else {}
    if kind == "integer":
        return known if isinstance(known, int) else max(int(schema.get("minimum", 1)), 1)
    if kind == "number":
        return float(schema.get("minimum", 1.5))
    if kind == "boolean":
        return False
    return _text(schema, known)


def _text(schema: Json, known: object) -> str:
    formats = {"date-time": _TIME, "date": _TIME[:10], "uuid": _ID, "uri": "https://example.invalid/x"}
    found = formats.get(schema.get("format", ""))
    return found or (known if isinstance(known, str) else "text")
