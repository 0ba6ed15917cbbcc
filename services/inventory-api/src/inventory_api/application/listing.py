"""Lists of stock, page by page, and search by words; each page costs the same however much there is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from inventory_api.domain.sku import Sku
from inventory_api.domain.stock import Bucket, StockLevel


@dataclass(frozen=True, slots=True)
class Filter:
    """Which levels to list; None leaves a member open."""

    location: str | None = None
    category: str | None = None
    status: Bucket | None = None
    updated_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class LevelPage:
    """Levels in the order of their id, and the id to go on after; None at the end."""

    levels: tuple[StockLevel, ...]
    following: int | None


class Listing(Protocol):
    """Reads lists from the authority. Raises `UnavailableError` and `BusyError`."""

    async def levels(self, wanted: Filter, after_id: int, limit: int) -> LevelPage:
        """Return up to `limit` levels after an id. A page may hold fewer, or none, and still not be the last."""
        ...

    async def search(self, text: str, limit: int) -> Sequence[Sku]:
        """Return SKUs whose text, barcode, name or category begins with the words, best first."""
        ...
