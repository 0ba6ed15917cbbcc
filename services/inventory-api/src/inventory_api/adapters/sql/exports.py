"""Exports in PostgreSQL: one snapshot, read by a cursor; a queue whose entry is locked by who works on it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence
from contextlib import aclosing, asynccontextmanager
from uuid import UUID

import asyncpg

from inventory_api.application.exporting import Cell, Export, ExportState, Job, Rows

from .levels import is_uuid
from .office import Office

DEADLINE_S = 300.0
CHUNK = 2_000
_ROWS = """
    SELECT s.sku, p.code, l.on_hand, s.name, s.category, s.unit_cost, l.safety_stock, l.reorder_point, n.reserved,
           greatest(0, l.on_hand - n.reserved - l.safety_stock) AS available, l.incoming
    FROM stock_levels l
    JOIN skus s ON s.id = l.sku_id
    JOIN locations p ON p.id = l.location_id
    CROSS JOIN LATERAL (
        SELECT l.reserved - coalesce((
            SELECT sum(r.held) FROM reservation_lines r
            WHERE r.level_id = l.id AND r.held > 0 AND r.expires_at <= statement_timestamp()
        ), 0)::bigint AS reserved
    ) n
    WHERE $1::text IS NULL OR p.code = $1
    ORDER BY l.id
"""
_ADD = """
    INSERT INTO exports (actor, key, location) VALUES ($1, $2, $3)
    ON CONFLICT ON CONSTRAINT exports_key DO UPDATE SET key = excluded.key RETURNING *
"""
_FIND = "SELECT * FROM exports WHERE id = $1"
_TAKE = """
    SELECT * FROM exports WHERE state = 'waiting' AND id <> ALL ($1::uuid[])
    ORDER BY created_at LIMIT 1 FOR UPDATE SKIP LOCKED
"""
_DONE = """
    UPDATE exports SET state = 'done', rows = $2, bytes = $3, finished_at = clock_timestamp() WHERE id = $1
"""


class SqlExports:
    """Exports over connections of the office."""

    def __init__(self, office: Office) -> None:
        self._office = office

    async def rows(self, location: str | None) -> AsyncIterator[list[Sequence[Cell]]]:
        """Give the levels of one instant."""
        async with (
            self._office.connection(DEADLINE_S) as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
            aclosing(_read(connection, location)) as chunks,
        ):
            async for chunk in chunks:
                yield chunk

    async def add(self, actor: str, key: str | None, location: str | None) -> Export:
        """Add an export that waits."""
        async with self._office.connection(5) as connection:
            row = await connection.fetchrow(_ADD, actor, key, location)
        assert row is not None  # noqa: S101 - it was just written
        return _export_of(row)

    async def find(self, export_id: str) -> Export | None:
        """Return an export."""
        if not is_uuid(export_id):
            return None
        async with self._office.connection(5) as connection:
            row = await connection.fetchrow(_FIND, UUID(export_id))
        return _export_of(row) if row else None

    @asynccontextmanager
    async def take(self, but: Collection[str]) -> AsyncIterator[Job | None]:
        """Take the oldest that waits, by a lock on its row, but none of these."""
        async with self._office.connection(DEADLINE_S) as connection, connection.transaction():
            row = await connection.fetchrow(_TAKE, list(but))
            yield _SqlJob(connection, _export_of(row)) if row else None


class _SqlJob:
    def __init__(self, connection: asyncpg.Connection, export: Export) -> None:
        self._connection = connection
        self.export = export

    def rows(self) -> Rows:
        return _read(self._connection, self.export.location)

    async def done(self, rows: int, size: int) -> None:
        await self._connection.execute(_DONE, UUID(self.export.id), rows, size)


async def _read(connection: asyncpg.Connection, location: str | None) -> AsyncGenerator[list[Sequence[Cell]]]:
    cursor = await connection.cursor(_ROWS, location)
    while chunk := await cursor.fetch(CHUNK):
        yield [tuple(row) for row in chunk]


def _export_of(row: asyncpg.Record) -> Export:
    return Export(
        id=str(row["id"]),
        state=ExportState(row["state"]),
        location=row["location"],
        rows=row["rows"],
        bytes=row["bytes"],
        created_at=row["created_at"],
        finished_at=row["finished_at"],
    )
