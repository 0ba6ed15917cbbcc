"""Change what is on hand. The transaction is given; the caller commits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from inventory_api.domain.adjustment import Adjustment, LedgerEntry
from inventory_api.domain.errors import VersionMismatchError
from inventory_api.domain.stock import Place, StockLevel

from .reserving import check_known
from .store import Transaction


@dataclass(frozen=True, slots=True)
class Adjusted:
    """The ledger row, and the level as it is after it."""

    entry: LedgerEntry
    level: StockLevel


async def adjust(transaction: Transaction, adjustment: Adjustment) -> Adjusted:
    """Apply an adjustment; the place's level is opened when this is its first.

    Raises:
        UnknownSkuError, UnknownLocationError: the place names one.
        InsufficientStockError: less would be on hand than is held.
        QuantityOutOfRangeError: more than can be counted exactly.
    """
    place = adjustment.place
    levels = await lock_or_open(transaction, [place])
    entry = await transaction.levels.change(levels[place].id, adjustment)
    after = await transaction.levels.lock([place])
    return Adjusted(entry, after[place])


async def lock_or_open(transaction: Transaction, places: Sequence[Place]) -> dict[Place, StockLevel]:
    """Lock the levels of places in their order; those that have none yet get one.

    Raises:
        UnknownSkuError, UnknownLocationError: a place names one.
    """
    levels = await transaction.levels.lock(places)
    missing = [place for place in places if place not in levels]
    if missing:
        await check_known(transaction, missing)
        for place in sorted(missing):
            await transaction.levels.open(place)
        levels = await transaction.levels.lock(places)
    return levels


async def set_thresholds(
    transaction: Transaction, place: Place, version: int | None, safety_stock: int, reorder_point: int
) -> StockLevel:
    """Write a level's thresholds if it still is as the caller has seen it (None: however it is).

    Raises:
        UnknownSkuError, UnknownLocationError: the place names one.
        VersionMismatchError: the level has another version.
    """
    level = (await lock_or_open(transaction, [place]))[place]
    if version is not None and level.version != version:
        raise VersionMismatchError(f"the level has version {level.version}")
    await transaction.levels.set_thresholds(level.id, safety_stock, reorder_point)
    return (await transaction.levels.lock([place]))[place]
