"""Many adjustments in one transaction: all or none, or each for itself. The caller commits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import uuid4

from inventory_api.domain.adjustment import Adjustment, LedgerEntry
from inventory_api.domain.errors import BatchRefusedError, InventoryError
from inventory_api.domain.stock import Place, StockLevel

from .reserving import check_known, lock_or_open
from .store import Transaction

Outcome = LedgerEntry | InventoryError


@dataclass(frozen=True, slots=True)
class Batched:
    """What became of each row, in their order."""

    id: str
    outcomes: tuple[Outcome, ...]


async def adjust_many(transaction: Transaction, rows: Sequence[Adjustment], *, atomic: bool) -> Batched:
    """Apply rows in their order; all levels are locked first.

    Raises:
        BatchRefusedError: atomic, and a row cannot be applied; it names the first, from 1.
    """
    batch_id = str(uuid4())
    levels, unknown = await _levels(transaction, {row.place for row in rows})
    outcomes: list[Outcome] = []
    for number, row in enumerate(rows, 1):
        try:
            if row.place in unknown:
                raise unknown[row.place]
            entry = await transaction.levels.change(levels[row.place].id, replace(row, batch_id=batch_id))
        except InventoryError as error:
            if atomic:
                raise BatchRefusedError(number, error) from error
            outcomes.append(error)
        else:
            outcomes.append(entry)
    done = sum(isinstance(outcome, LedgerEntry) for outcome in outcomes)
    await transaction.ledger.note_batch(batch_id, atomic=atomic, asked=len(rows), done=done)
    return Batched(batch_id, tuple(outcomes))


async def _levels(
    transaction: Transaction, places: set[Place]
) -> tuple[dict[Place, StockLevel], dict[Place, InventoryError]]:
    levels = await transaction.levels.lock(sorted(places))
    unknown: dict[Place, InventoryError] = {}
    for place in sorted(places - levels.keys()):
        try:
            await check_known(transaction, [place])
        except InventoryError as error:
            unknown[place] = error
    if len(levels) + len(unknown) < len(places):
        levels = await lock_or_open(transaction, sorted(places - unknown.keys()))
    return levels, unknown
