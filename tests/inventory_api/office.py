"""One migrated database for the tests of a module, emptied before each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import asyncpg

from tests.fixtures.services import new_database
from tests.inventory_api.databases import migrate

EMPTY = """
    TRUNCATE skus, locations, stock_levels, reservations, reservation_lines, ledger, imports, exports
    RESTART IDENTITY CASCADE
"""


@contextmanager
def migrated(server_url: str) -> Iterator[str]:
    """Give the URL of a database with the newest schema."""
    with new_database(server_url) as url:
        migrate(url)
        yield url


@asynccontextmanager
async def emptied(url: str) -> AsyncIterator[asyncpg.Connection]:
    """Give a connection to the database without its rows."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(EMPTY)
        yield connection
    finally:
        await connection.close()
