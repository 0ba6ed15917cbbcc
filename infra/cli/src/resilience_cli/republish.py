"""The state of each SKU once more to Kafka, by the outbox that inventory-api publishes.

Nothing else may write `inventory.stock.v1`, and a state is read when it is published: what comes out is never older
than what came out before.
"""

from __future__ import annotations

import asyncio

import asyncpg

from .database import connected
from .errors import StackError
from .progress import Told

BATCH = 2_000
"""SKUs: changes that happen meanwhile wait in the outbox behind no more of them."""
STUCK_S = 30.0
LOOK_S = 0.2

# One level stands for its SKU. `changed` says no more than that the state is to be told.
_PUT = """
    WITH batch AS (
        SELECT sku_id, min(id) AS level_id FROM stock_levels WHERE sku_id > $1
        GROUP BY sku_id ORDER BY sku_id LIMIT $2
    ), put AS (
        INSERT INTO outbox (kind, level_id) SELECT 'changed', level_id FROM batch ORDER BY sku_id RETURNING id
    )
    SELECT (SELECT max(sku_id) FROM batch) AS sku_id, (SELECT max(id) FROM put) AS last_id, count(*) FROM batch
"""
_WAITING = "SELECT count(*) FROM outbox WHERE id <= $1"


async def republish(url: str, told: Told, stuck_s: float = STUCK_S) -> int:
    """Have the state of every SKU that has stock anywhere published again; tell, and return, of how many.

    Told to stop, or killed, it leaves at most `BATCH` rows, which are published too. Again is harmless: readers
    know a state by its sequence.

    Raises:
        StackError: the database is away, has no schema, or nobody published anything for `stuck_s`.
    """
    async with connected(url) as connection:
        of = await connection.fetchval("SELECT count(DISTINCT sku_id) FROM stock_levels")
        done, after = 0, 0
        told(done, of)
        while True:
            row = await connection.fetchrow(_PUT, after, BATCH)
            if row is None or not row["count"]:
                return done
            after, last_id, count = row
            await _published(connection, last_id, stuck_s)
            done += count
            told(done, max(done, of))


async def _published(connection: asyncpg.Connection, last_id: int, stuck_s: float) -> None:
    """Wait until nothing up to an id is in the outbox."""
    loop = asyncio.get_running_loop()
    before, until = None, loop.time() + stuck_s
    while waiting := await connection.fetchval(_WAITING, last_id):
        if waiting != before:
            before, until = waiting, loop.time() + stuck_s
        if loop.time() > until:
            raise StackError(
                f"inventory-api has published nothing for {stuck_s:g} s, {waiting:,} changes wait",
                "see that it runs and that Kafka has its topics (`resilience topics apply`), then run this again",
            )
        await asyncio.sleep(LOOK_S)
