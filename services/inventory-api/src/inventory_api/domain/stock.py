"""Stock of a SKU at a location, and what of it can be promised."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from .sku import Sku

QUANTITY_MAX = 10**9
ON_HAND_MAX = 2**53 - 1
"""Beyond this a JSON reader may round."""


class Place(NamedTuple):
    """A SKU at a location, by the names that clients use."""

    sku: str
    location: str


@dataclass(frozen=True, slots=True)
class StockLevel:
    """Counters of one place. `reserved` leaves out holds whose time is over.

    `id` is the authority's key: rows are locked in its order.
    """

    id: int
    place: Place
    on_hand: int
    reserved: int
    incoming: int
    safety_stock: int
    reorder_point: int
    version: int
    updated_at: datetime
    backorder_limit: int = 0

    @property
    def available(self) -> int:
        """What can be promised: never below 0, so that one place's shortage takes nothing from another's."""
        return max(0, self.on_hand - self.reserved - self.safety_stock)

    @property
    def holdable(self) -> int:
        """What can be held: beyond what is available, up to `backorder_limit` of what is still to come."""
        return max(0, self.on_hand - self.reserved - self.safety_stock + self.backorder_limit)


@dataclass(frozen=True, slots=True)
class LowLevel:
    """A level at or under its reorder point, and since when."""

    level: StockLevel
    since: datetime


class Bucket(StrEnum):
    """What may be said of stock when no number may."""

    IN = "IN"
    LOW = "LOW"
    OUT = "OUT"


def bucket(available: int, reorder_point: int) -> Bucket:
    """Return OUT for nothing, LOW up to the reorder point, else IN."""
    if available <= 0:
        return Bucket.OUT
    return Bucket.LOW if available <= reorder_point else Bucket.IN


@dataclass(frozen=True, slots=True)
class Stock:
    """Everything known of a SKU's stock at one instant, `as_of`."""

    sku: Sku
    levels: tuple[StockLevel, ...]
    as_of: datetime

    @property
    def available(self) -> int:
        """Sum over the locations."""
        return sum(level.available for level in self.levels)

    @property
    def bucket(self) -> Bucket:
        """OUT, LOW or IN over all locations."""
        return bucket(self.available, sum(level.reorder_point for level in self.levels))


class Line(NamedTuple):
    """So many of a SKU at a location."""

    place: Place
    quantity: int


def demand(lines: Iterable[Line]) -> dict[Place, int]:
    """Add up what the lines ask of each place, in a fixed order."""
    total: dict[Place, int] = {}
    for place, quantity in lines:
        total[place] = total.get(place, 0) + quantity
    return dict(sorted(total.items()))
