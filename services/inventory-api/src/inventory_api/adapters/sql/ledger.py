"""The ledger in PostgreSQL."""

from __future__ import annotations

from sqlalchemy import RowMapping, text

from inventory_api.domain.adjustment import LedgerEntry, Reason
from inventory_api.domain.stock import Place

from .session import Session

_ENTRIES = text("""
    SELECT e.*, s.sku, p.code FROM ledger e
    JOIN stock_levels l ON l.id = e.level_id
    JOIN skus s ON s.id = l.sku_id
    JOIN locations p ON p.id = l.location_id
    WHERE e.id > :after AND (CAST(:sku AS text) IS NULL OR s.sku = :sku)
      AND (CAST(:location AS text) IS NULL OR p.code = :location)
    ORDER BY e.id LIMIT :limit
""")


class SqlLedger:
    """The ledger over one session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def entries(
        self, sku: str | None, location: str | None, after_id: int, limit: int
    ) -> list[LedgerEntry]:
        """Return a page of rows."""
        values = {"after": after_id, "sku": sku, "location": location, "limit": limit}
        rows = await self._session.execute(_ENTRIES, values)
        return [entry_of(row, Place(row["sku"], row["code"])) for row in rows.mappings()]


def entry_of(row: RowMapping, place: Place) -> LedgerEntry:
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
