"""Transfers in PostgreSQL."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text

from inventory_api.domain.transfer import NewTransfer, Transfer, TransferLine, TransferState

from .session import Session

_ADD = text("""
    WITH added AS (
        INSERT INTO transfers (source_id, destination_id, state, reference)
        SELECT f.id, t.id, 'DRAFT', :reference FROM locations f, locations t
        WHERE f.code = :source AND t.code = :destination
        RETURNING id
    ), lines AS (
        INSERT INTO transfer_lines (transfer_id, sku_id, quantity)
        SELECT added.id, s.id, w.quantity
        FROM added, unnest(CAST(:skus AS text[]), CAST(:quantities AS bigint[])) AS w (sku, quantity)
        JOIN skus s ON s.sku = w.sku
    )
    SELECT id FROM added
""")
_LOCK = text("SELECT id FROM transfers WHERE id = CAST(:id AS uuid) FOR NO KEY UPDATE")
_FIND = text("""
    SELECT x.*, f.code AS source, t.code AS destination FROM transfers x
    JOIN locations f ON f.id = x.source_id
    JOIN locations t ON t.id = x.destination_id
    WHERE x.id = CAST(:id AS uuid)
""")
_LINES = text("""
    SELECT n.*, s.sku FROM transfer_lines n JOIN skus s ON s.id = n.sku_id
    WHERE n.transfer_id = CAST(:id AS uuid) ORDER BY s.sku
""")
_SAVE = text("""
    WITH saved AS (
        UPDATE transfers SET state = :state, updated_at = clock_timestamp() WHERE id = CAST(:id AS uuid)
    )
    UPDATE transfer_lines n
    SET shipped = w.shipped, received = w.received, returned = w.returned, lost = w.lost
    FROM unnest(CAST(:skus AS text[]), CAST(:shipped AS bigint[]), CAST(:received AS bigint[]),
                CAST(:returned AS bigint[]), CAST(:lost AS bigint[])) AS w (sku, shipped, received, returned, lost)
    JOIN skus s ON s.sku = w.sku
    WHERE n.transfer_id = CAST(:id AS uuid) AND n.sku_id = s.id
""")


class SqlTransfers:
    """Transfers over one session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def add(self, new: NewTransfer) -> Transfer:
        """Add a draft with its lines, in one statement."""
        values = {
            "source": new.source,
            "destination": new.destination,
            "reference": new.reference,
            "skus": list(new.quantities),
            "quantities": list(new.quantities.values()),
        }
        name = str((await self._session.execute(_ADD, values)).scalar_one())
        added = await self.find(name)
        assert added is not None  # noqa: S101 - this transaction has just added it
        return added

    async def find(self, transfer_id: str, *, lock: bool = False) -> Transfer | None:
        """Return a transfer; the lock is taken first, so that what is read is what the lock guards."""
        try:
            name = {"id": str(UUID(transfer_id))}
        except ValueError:
            return None
        if lock:
            await self._session.execute(_LOCK, name)
        row = (await self._session.execute(_FIND, name)).first()
        if row is None:
            return None
        lines = await self._session.execute(_LINES, name)
        return Transfer(
            id=str(row["id"]),
            source=row["source"],
            destination=row["destination"],
            state=TransferState(row["state"]),
            lines=tuple(
                TransferLine(n["sku"], n["quantity"], n["shipped"], n["received"], n["returned"], n["lost"])
                for n in lines
            ),
            reference=row["reference"],
            created_at=row["created_at"],
            updated_at=row["updated_at"],
        )

    async def save(self, transfer: Transfer) -> None:
        """Write state and lines."""
        lines = transfer.lines
        values = {
            "id": transfer.id,
            "state": transfer.state.value,
            "skus": [line.sku for line in lines],
            "shipped": [line.shipped for line in lines],
            "received": [line.received for line in lines],
            "returned": [line.returned for line in lines],
            "lost": [line.lost for line in lines],
        }
        await self._session.execute(_SAVE, values)
