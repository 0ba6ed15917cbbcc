"""The ledger in PostgreSQL."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text

from inventory_api.domain.adjustment import LedgerEntry, Reason
from inventory_api.domain.count import Since
from inventory_api.domain.stock import Place

from .session import Row, Session

_ENTRIES = text("""
    SELECT e.*, s.sku, p.code FROM ledger e
    JOIN stock_levels l ON l.id = e.level_id
    JOIN skus s ON s.id = l.sku_id
    JOIN locations p ON p.id = l.location_id
    WHERE e.id > :after AND (CAST(:location AS text) IS NULL OR p.code = :location)
    ORDER BY e.id LIMIT :limit
""")
# A page of each of the SKU's few levels, merged: the cost is that of a page, however long the ledger is.
_ENTRIES_OF_SKU = text("""
    SELECT e.*, s.sku, p.code FROM skus s
    JOIN stock_levels l ON l.sku_id = s.id
    JOIN locations p ON p.id = l.location_id
    CROSS JOIN LATERAL (
        SELECT * FROM ledger WHERE level_id = l.id AND id > :after ORDER BY id LIMIT :limit
    ) e
    WHERE s.sku = :sku AND (CAST(:location AS text) IS NULL OR p.code = :location)
    ORDER BY e.id LIMIT :limit
""")

_SINCE = text("""
    SELECT COALESCE(sum(delta), 0)::bigint AS delta, COALESCE(bool_or(reason = 'COUNT'), false) AS counted_again
    FROM ledger WHERE level_id = :level_id AND occurred_at > :moment
""")
_SOLD = text("""
    SELECT COALESCE(-sum(delta), 0)::bigint FROM ledger
    WHERE level_id = :level_id AND reason IN ('SALE', 'RETURN') AND reference = :reference
      AND reservation_id IS NULL
""")
_SOLD_OF_RESERVATION = text("""
    SELECT COALESCE(-sum(delta), 0)::bigint FROM ledger
    WHERE level_id = :level_id AND reason IN ('SALE', 'RETURN')
      AND reference = (SELECT owner_ref FROM reservations WHERE id = CAST(:reservation_id AS uuid))
      AND reservation_id = CAST(:reservation_id AS uuid)
""")
_NOTE_BATCH = text(
    "INSERT INTO batches (id, atomic, asked, done) VALUES (CAST(:id AS uuid), :atomic, :asked, :done)"
)


class SqlLedger:
    """The ledger over one session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def entries(
        self, sku: str | None, location: str | None, after_id: int, limit: int
    ) -> list[LedgerEntry]:
        """Return a page of rows."""
        values: dict[str, object] = {"after": after_id, "location": location, "limit": limit}
        if sku is None:
            rows = await self._session.execute(_ENTRIES, values)
        else:
            rows = await self._session.execute(_ENTRIES_OF_SKU, values | {"sku": sku})
        return [entry_of(row, Place(row["sku"], row["code"])) for row in rows]

    async def since(self, level_id: int, moment: datetime) -> Since:
        """Sum up what happened after a moment."""
        row = (await self._session.execute(_SINCE, {"level_id": level_id, "moment": moment})).one()
        return Since(row.delta, row.counted_again)

    async def sold(self, level_id: int, reservation_id: str | None, reference: str | None) -> int:
        """Return what was sold and has not come back."""
        if reservation_id is None:
            values: dict[str, object] = {"level_id": level_id, "reference": reference}
            return int((await self._session.execute(_SOLD, values)).scalar_one())
        values = {"level_id": level_id, "reservation_id": reservation_id}
        return int((await self._session.execute(_SOLD_OF_RESERVATION, values)).scalar_one())

    async def note_batch(self, batch_id: str, *, atomic: bool, asked: int, done: int) -> None:
        """Note a batch."""
        values = {"id": batch_id, "atomic": atomic, "asked": asked, "done": done}
        await self._session.execute(_NOTE_BATCH, values)


def entry_of(row: Row, place: Place) -> LedgerEntry:
    """Read a ledger row."""
    return LedgerEntry(
        id=row["id"],
        place=place,
        sequence=row["sequence"],
        delta=row["delta"],
        before=row["before"],
        after=row["after"],
        reason=Reason(row["reason"]),
        reference=row["reference"],
        actor=row["actor"],
        occurred_at=row["occurred_at"],
        recorded_at=row["recorded_at"],
    )
