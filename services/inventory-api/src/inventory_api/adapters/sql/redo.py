"""The redo log in the database: read in groups that hold each transaction as a whole, forgotten once published.

Rows of one identity are written under its lock, so their ids have the order of their commits.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

BATCH = 500
_FIRST = "SELECT max(id) FROM (SELECT id FROM redo ORDER BY id LIMIT $1) oldest"
_OLDEST = "SELECT created_at FROM redo ORDER BY id LIMIT 1"
_WHOLE = "SELECT max(id) FROM redo WHERE xid IN (SELECT xid FROM redo WHERE id <= $1)"
_ROWS = "SELECT id, table_name, rows_json, created_at FROM redo WHERE id <= $1 ORDER BY id"
_FORGET = """
    WITH moved AS (UPDATE redo_log SET next_offset = $2)
    DELETE FROM redo WHERE id = ANY($1::bigint[])
"""


@dataclass(frozen=True, slots=True)
class Kept:
    """Rows of a table as one statement left them, as JSON."""

    id: int
    table: str
    rows_json: str
    created_at: datetime


async def lineage(connection: asyncpg.Connection) -> str:
    """Return the identity that a database has in common with what is restored from it."""
    found: str = await connection.fetchval("SELECT lineage FROM redo_log")
    return found


async def oldest(connection: asyncpg.Connection) -> datetime | None:
    """Return when the oldest statement that is not published was written; None when there is none."""
    found: datetime | None = await connection.fetchval(_OLDEST)
    return found


async def group(connection: asyncpg.Connection) -> AsyncIterator[Kept]:
    """Give the oldest statements and all others of their transactions, by id; inside a repeatable-read transaction."""
    last: int | None = await connection.fetchval(_FIRST, BATCH)
    if last is None:
        return
    while (whole := await connection.fetchval(_WHOLE, last)) > last:
        last = whole
    async for row in connection.cursor(_ROWS, last, prefetch=100):
        yield Kept(*row)


async def forget(connection: asyncpg.Connection, ids: Sequence[int], next_offset: int) -> None:
    """Remove what is published, and note in the same statement where the log goes on."""
    await connection.execute(_FORGET, ids, next_offset)
