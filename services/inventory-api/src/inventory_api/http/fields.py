"""Types of the members that bodies are made of; each refuses what makes no sense."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictInt,
    StrictStr,
    StringConstraints,
    WithJsonSchema,
)

from inventory_api.domain.errors import InvalidSkuError
from inventory_api.domain.sku import LOCATION_MAX_CHARACTERS, SKU_MAX_CHARACTERS, check_location, check_sku
from inventory_api.domain.stock import QUANTITY_MAX

BATCH_MOST = 200
LINES_MOST = 100
TTL_MOST_S = 7 * 86_400
_AMOUNT = re.compile(r"[0-9]{1,9}(\.[0-9]{1,4})?", re.ASCII)
EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


def _sku(text: str) -> str:
    try:
        return check_sku(text)
    except InvalidSkuError as error:
        raise ValueError(error.detail) from None


def _location(text: str) -> str:
    try:
        return check_location(text)
    except InvalidSkuError as error:
        raise ValueError(error.detail) from None


def _amount(value: object) -> Decimal:
    if not isinstance(value, str) or not _AMOUNT.fullmatch(value):
        raise ValueError("an amount is text as 12.50, with up to 4 decimals")
    return Decimal(value)


def _printable(text: str) -> str:
    if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("NUL and surrogates are not text")
    return text


SkuText = Annotated[
    StrictStr,
    Field(min_length=1, max_length=SKU_MAX_CHARACTERS, examples=["TEE-BLACK-M"]),
    AfterValidator(_sku),
]
LocationCode = Annotated[
    StrictStr,
    Field(min_length=1, max_length=LOCATION_MAX_CHARACTERS, examples=["central"]),
    AfterValidator(_location),
]
Quantity = Annotated[StrictInt, Field(ge=1, le=QUANTITY_MAX, examples=[2])]
Threshold = Annotated[StrictInt, Field(ge=0, le=QUANTITY_MAX)]
Cost = Annotated[
    Decimal,
    BeforeValidator(_amount, json_schema_input_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9]{1,9}(\.[0-9]{1,4})?$", "examples": ["12.50"]}),
]
Delta = Annotated[StrictInt, Field(ge=-QUANTITY_MAX, le=QUANTITY_MAX, examples=[12])]
Text = Annotated[StrictStr, StringConstraints(min_length=1, max_length=200), AfterValidator(_printable)]
Question = Annotated[StrictStr, StringConstraints(min_length=1, max_length=1000), AfterValidator(_printable)]
Reference = Annotated[StrictStr, StringConstraints(min_length=1, max_length=120), AfterValidator(_printable)]


class In(BaseModel):
    """A body from a client: unknown members are refused, so that a typing error is no silent default."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Out(BaseModel):
    """A body to a client."""

    model_config = ConfigDict(frozen=True)
