"""A migration under a version that knows nothing of it: writes go on, and nobody waits long for a table."""

from __future__ import annotations

import asyncio

import asyncpg
from sqlalchemy import text

from inventory_api.adapters.sql.store import SqlStore
from inventory_api.application.answering import Request, answer
from inventory_api.application.reserving import Seen, reserve
from inventory_api.application.store import Answer, Transaction
from inventory_api.domain.stock import Line, Place
from tests.flag_service.running import until
from tests.inventory_api.databases import migrate, opened
from tests.inventory_api.store_contract import level_of, place_with

WAITS = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND NOT granted"


async def test_a_column_that_the_next_version_adds_fails_no_write_of_this_one(database_url: str) -> None:
    migrate(database_url)
    async with opened(database_url) as database:
        store = SqlStore(database)
        place = await place_with(store, 3)
        await hold(store, place, "before")  # its statements are prepared by now
        async with database.writing() as session:
            for table in ("reservations", "reservation_lines", "stock_levels", "skus"):
                await session.execute(text(f"ALTER TABLE {table} ADD COLUMN colour text"))

        after = await hold(store, place, "after")

        assert after.status == 201
        assert (await level_of(store, place)).reserved == 2


async def hold(store: SqlStore, place: Place, key: str) -> Answer:
    """Hold one, as the API does for a request with a key."""

    async def work(transaction: Transaction) -> Seen:
        return await reserve(transaction, "cart", [Line(place, 1)], 60)

    return await answer(store, Request("shop", key, key), work, lambda _: Answer(201, {}, ""))


async def test_a_migration_that_waits_for_a_table_lets_others_pass(database_url: str) -> None:
    migrate(database_url, "0005")
    reader, other = await asyncpg.connect(database_url), await asyncpg.connect(database_url)
    try:
        async with reader.transaction():
            await reader.execute("SELECT FROM stock_levels")
            migrating = asyncio.create_task(asyncio.to_thread(migrate, database_url, "0006"))
            for _ in range(3):
                await until(lambda: other.fetchval(WAITS))
                await other.execute("SELECT FROM skus", timeout=2)
        await migrating

        assert await other.fetchval("SELECT version_num FROM alembic_version") == "0006"
    finally:
        await other.close()
        await reader.close()
