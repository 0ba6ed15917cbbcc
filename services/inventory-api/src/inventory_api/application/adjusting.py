"""Change what is on hand. The transaction is given; the caller commits."""

from __future__ import annotations

from dataclasses import dataclass

from inventory_api.domain.adjustment import Adjustment, LedgerEntry
from inventory_api.domain.stock import StockLevel

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
    levels = await transaction.levels.lock([place])
    if place not in levels:
        await check_known(transaction, [place])
        await transaction.levels.open(place)
        levels = await transaction.levels.lock([place])
    entry = await transaction.levels.change(levels[place].id, adjustment)
    after = await transaction.levels.lock([place])
    return Adjusted(entry, after[place])
