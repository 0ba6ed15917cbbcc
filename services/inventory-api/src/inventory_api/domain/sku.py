r"""What counts as a SKU, and the catalogue entries.

The rule: 1 to 120 characters in Unicode NFC, kept exactly as written (`0017` and `12345.` are text, never numbers),
without white space at either end, control or formatting characters, `/` or `\`, and not `.` or `..`,
so that it can stand in a path. Two SKUs which differ only in case are the same one: the second is refused.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType

from .errors import InvalidSkuError

SKU_MAX_CHARACTERS = 120
LOCATION_MAX_CHARACTERS = 60
_NO_ATTRIBUTES: Mapping[str, str] = MappingProxyType({})
_REFUSED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def check_sku(text: str) -> str:
    """Return the text as it is.

    Raises:
        InvalidSkuError: it breaks the rule of this module.
    """
    return _check(text, "SKU", SKU_MAX_CHARACTERS)


def check_location(code: str) -> str:
    """Return a location's code as it is; the same rule as for a SKU, with at most 60 characters.

    Raises:
        InvalidSkuError: it breaks the rule of this module.
    """
    return _check(code, "location code", LOCATION_MAX_CHARACTERS)


def fold(text: str) -> str:
    """Return what two SKUs share when they differ only in case."""
    return unicodedata.normalize("NFC", text.casefold())


def _check(text: str, noun: str, limit: int) -> str:
    if not 1 <= len(text) <= limit:
        raise InvalidSkuError(f"a {noun} has 1 to {limit} characters, not {len(text)}")
    if text != text.strip():
        raise InvalidSkuError(f"a {noun} has no white space at its ends")
    if any(unicodedata.category(character) in _REFUSED_CATEGORIES for character in text):
        raise InvalidSkuError(f"a {noun} has no control or formatting characters")
    if text in {".", ".."} or "/" in text or "\\" in text:
        raise InvalidSkuError(f"a {noun} has no slash and is not a path step")
    if not unicodedata.is_normalized("NFC", text):
        raise InvalidSkuError(f"a {noun} is written in Unicode normalisation form C")
    return text


class LocationKind(StrEnum):
    """What sort of place a location is."""

    WAREHOUSE = "warehouse"
    STORE = "store"
    VIRTUAL = "virtual"


@dataclass(frozen=True, slots=True)
class NewSku:
    """A SKU to be added. Thresholds are those its stock levels start with."""

    sku: str
    name: str
    category: str | None = None
    barcodes: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=lambda: _NO_ATTRIBUTES)
    safety_stock: int = 0
    reorder_point: int = 0
    unit_cost: Decimal | None = None
    backorder_limit: int = 0


@dataclass(frozen=True, slots=True)
class Sku:
    """An entry of the catalogue."""

    sku: str
    name: str
    category: str | None
    barcodes: tuple[str, ...]
    attributes: Mapping[str, str]
    safety_stock: int
    reorder_point: int
    created_at: datetime
    unit_cost: Decimal | None = None
    backorder_limit: int = 0


@dataclass(frozen=True, slots=True)
class NewLocation:
    """A location to be added."""

    code: str
    name: str
    kind: LocationKind


@dataclass(frozen=True, slots=True)
class Location:
    """A place that can hold stock."""

    code: str
    name: str
    kind: LocationKind
    created_at: datetime
