"""Transfers in memory."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

from inventory_api.domain.transfer import NewTransfer, Transfer, TransferLine, TransferState
from resilience_runtime import Clock

from .rows import Rows


class MemoryTransfers:
    """Stock on its way."""

    def __init__(self, rows: Rows, clock: Clock) -> None:
        self._rows = rows
        self._clock = clock

    async def add(self, new: NewTransfer) -> Transfer:
        """Do as the port says."""
        now = self._clock.now()
        lines = tuple(TransferLine(sku, quantity) for sku, quantity in sorted(new.quantities.items()))
        transfer = Transfer(
            str(uuid4()),
            new.source,
            new.destination,
            TransferState.DRAFT,
            lines,
            new.reference,
            now,
            now,
        )
        self._rows.transfers[transfer.id] = transfer
        return transfer

    async def find(self, transfer_id: str, *, lock: bool = False) -> Transfer | None:  # noqa: ARG002 - one transaction at a time
        """Do as the port says."""
        return self._rows.transfers.get(transfer_id)

    async def save(self, transfer: Transfer) -> None:
        """Do as the port says."""
        self._rows.transfers[transfer.id] = replace(transfer, updated_at=self._clock.now())
