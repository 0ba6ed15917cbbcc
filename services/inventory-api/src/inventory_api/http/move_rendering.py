"""From transfers, returns, counts and batches to what goes over the wire."""

from __future__ import annotations

from collections.abc import Sequence

from inventory_api.application.adjusting import Adjusted
from inventory_api.application.batching import Batched
from inventory_api.application.counting import Counted
from inventory_api.application.store import Answer
from inventory_api.domain.adjustment import LedgerEntry
from inventory_api.domain.errors import InventoryError
from inventory_api.domain.stock import LowLevel
from inventory_api.domain.transfer import Transfer

from .move_schemas import (
    BatchOut,
    BatchRowOut,
    CountOut,
    LowStockOut,
    ReturnOut,
    TransferLineOut,
    TransferOut,
)
from .rendering import adjustment_answer, ledger_out, level_out, render
from .schemas import AdjustmentOut


def applied_answer(applied: Adjusted | Counted) -> Answer:
    """Answer an adjustment or a count that was applied."""
    if isinstance(applied, Counted):
        entry = ledger_out(applied.entry) if applied.entry else None
        return render(CountOut(entry=entry, level=level_out(applied.level)), 201)
    return adjustment_answer(applied)


def transfer_out(transfer: Transfer) -> TransferOut:
    """Show a transfer."""
    return TransferOut(
        id=transfer.id,
        source=transfer.source,
        destination=transfer.destination,
        state=transfer.state,
        reference=transfer.reference,
        created_at=transfer.created_at,
        updated_at=transfer.updated_at,
        lines=[
            TransferLineOut(
                sku=line.sku,
                quantity=line.quantity,
                shipped=line.shipped,
                in_transit=line.in_transit,
                received=line.received,
                returned=line.returned,
                lost=line.lost,
            )
            for line in transfer.lines
        ],
    )


def return_out(taken: Sequence[Adjusted]) -> ReturnOut:
    """Show what came back."""
    items = [AdjustmentOut(entry=ledger_out(each.entry), level=level_out(each.level)) for each in taken]
    return ReturnOut(items=items)


def batch_out(batched: Batched) -> BatchOut:
    """Show what became of each row."""
    items = [_row_out(number, outcome) for number, outcome in enumerate(batched.outcomes, 1)]
    applied = sum(item.entry is not None for item in items)
    return BatchOut(id=batched.id, applied=applied, failed=len(items) - applied, items=items)


def _row_out(number: int, outcome: LedgerEntry | InventoryError) -> BatchRowOut:
    if isinstance(outcome, LedgerEntry):
        return BatchRowOut(row=number, entry=ledger_out(outcome))
    return BatchRowOut(row=number, code=outcome.code, detail=outcome.detail)


def low_stock_out(low: LowLevel) -> LowStockOut:
    """Show a level that is low."""
    level = low.level
    return LowStockOut(
        sku=level.place.sku,
        location=level.place.location,
        available=level.available,
        on_hand=level.on_hand,
        incoming=level.incoming,
        reorder_point=level.reorder_point,
        since=low.since,
    )
