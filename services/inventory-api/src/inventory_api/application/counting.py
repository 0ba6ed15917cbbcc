"""Set what is on hand to what was counted. The transaction is given; the caller commits."""

from __future__ import annotations

from dataclasses import dataclass

from inventory_api.domain.adjustment import Adjustment, LedgerEntry, Reason
from inventory_api.domain.count import Count, Since, delta_of
from inventory_api.domain.errors import VersionMismatchError
from inventory_api.domain.stock import StockLevel

from .reserving import lock_or_open
from .store import Transaction


@dataclass(frozen=True, slots=True)
class Counted:
    """The ledger row, None when the books were right, and the level as it is after it."""

    entry: LedgerEntry | None
    level: StockLevel


async def count_stock(transaction: Transaction, count: Count, version: int | None = None) -> Counted:
    """Apply a count; what happened after it stays.

    Args:
        transaction: the caller's.
        count: what was found, and when.
        version: the level's version that the counter has seen; None for whatever it is.

    Raises:
        UnknownSkuError, UnknownLocationError: the place names one.
        VersionMismatchError: the level has another version.
        InsufficientStockError: less was found than is held.
    """
    place = count.place
    level = (await lock_or_open(transaction, [place]))[place]
    if version is not None and level.version != version:
        raise VersionMismatchError
    now = await transaction.now()
    moment = count.occurred_at or now
    since = await transaction.ledger.since(level.id, moment) if count.occurred_at else Since(0, False)  # noqa: FBT003 - nothing happens after now
    delta = delta_of(count.counted, level.on_hand, since)
    if not delta:
        return Counted(None, level)
    change = Adjustment(
        place, delta, Reason.COUNT, count.actor, moment, count.reference, command_id=count.command_id
    )
    entry = await transaction.levels.change(level.id, change)
    return Counted(entry, (await transaction.levels.lock([place]))[place])
