"""Change what is on hand. The transaction is given; the caller commits."""

from __future__ import annotations

from dataclasses import dataclass

from inventory_api.domain.adjustment import Adjustment, LedgerEntry
from inventory_api.domain.errors import BackorderedError, VersionMismatchError
from inventory_api.domain.stock import Place, StockLevel

from .reserving import lock_or_open
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


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What a level keeps back, when it is low, and how many may be held beyond; None leaves that as it is."""

    safety_stock: int
    reorder_point: int
    backorder_limit: int | None = None


async def set_thresholds(
    transaction: Transaction, place: Place, version: int | None, wanted: Thresholds
) -> StockLevel:
    """Write a level's thresholds if it still is as the caller has seen it (None: however it is).

    Raises:
        UnknownSkuError, UnknownLocationError: the place names one.
        VersionMismatchError: the level has another version.
        BackorderedError: more is held beyond what is on hand than the limit would allow.
    """
    level = (await lock_or_open(transaction, [place]))[place]
    if version is not None and level.version != version:
        raise VersionMismatchError(f"the level has version {level.version}")
    limit = level.backorder_limit if wanted.backorder_limit is None else wanted.backorder_limit
    beyond = level.reserved - level.on_hand
    if beyond > limit:
        raise BackorderedError(f"{beyond} are held beyond what is on hand")
    await transaction.levels.set_thresholds(level.id, wanted.safety_stock, wanted.reorder_point, limit)
    return (await transaction.levels.lock([place]))[place]
