"""Pages of stock at 1,000, 100,000 and 1,000,000 levels: the first page, one in the middle, and filtered ones.

The floor is the same page at 1,000 levels in the same run. The plan of a page at a million levels is printed, and what
the database takes at each size. Each SKU has four levels.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from statistics import median

import asyncpg

from inventory_api.adapters.sql.listing import SqlListing
from inventory_api.application.listing import Filter
from inventory_api.domain.stock import Bucket
from resilience_cli.stack import PostgreSQL, await_ready, free_ports, halt, start
from tests.fixtures.place import private_place
from tests.inventory_api.databases import migrate, opened

SIZES = (1_000, 100_000, 1_000_000)
"""Levels, four of each SKU."""
ROUNDS = 40
RATIO_BOUND = 3.0
RESULT = Path(".stack/bench/inventory_pages.json")
ADD = """
    INSERT INTO skus (sku, sku_fold, name, category, safety_stock, reorder_point)
    SELECT 'SKU-' || n, 'sku-' || n, 'Thing ' || n, 'c' || n % 50, 0, 5 FROM generate_series($1::int, $2::int) n
"""
OPEN = """
    INSERT INTO stock_levels (sku_id, location_id, on_hand, safety_stock, reorder_point)
    SELECT s.id, p.id, s.id % 100, 0, 5 FROM skus s, locations p
    WHERE NOT EXISTS (SELECT FROM stock_levels l WHERE l.sku_id = s.id) ORDER BY s.id, p.id
"""
PLAN = """
    EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF)
    WITH seen AS MATERIALIZED (SELECT * FROM stock_levels l WHERE l.id > 500000 ORDER BY l.id LIMIT 1000)
    SELECT s.sku, p.code, l.* FROM seen l JOIN skus s ON s.id = l.sku_id JOIN locations p ON p.id = l.location_id
    ORDER BY l.id LIMIT 50
"""


def main() -> int:
    """Measure, print, and answer 1 when a page at a million levels costs more than three of the same at a thousand."""
    with private_place() as place:
        database = PostgreSQL(place, free_ports(1)[0])
        running = start(database, place, "the port of postgresql")
        try:
            await_ready(running, 60)
            migrate(database.url)
            figures = asyncio.run(_measure(database.url))
        finally:
            halt(running)
    worst = 0.0
    print(
        "| | " + " | ".join(f"{size:,} levels" for size in SIZES) + " |\n" + "|---" * (len(SIZES) + 1) + "|"
    )
    for name, row in figures.items():
        print(f"| {name} | " + " | ".join(f"{figure:.2f}" for figure in row) + " |")
        worst = max(worst, row[-1] / row[0] if name.endswith("ms") else 0.0)
    print(f"load average {os.getloadavg()[0]:.1f}")
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return int(worst > RATIO_BOUND)


async def _measure(url: str) -> dict[str, tuple[float, ...]]:
    connection = await asyncpg.connect(url)
    await connection.execute(
        """INSERT INTO locations (code, code_fold, name, kind)
           SELECT 'l' || n, 'l' || n, 'Place', 'store' FROM generate_series(1, 4) n"""
    )
    await connection.execute("ALTER TABLE stock_levels DISABLE TRIGGER USER")
    async with opened(url) as database:
        listing = SqlListing(database)
        found, filled = [], 0
        for size in SIZES:
            await _fill(connection, filled // 4 + 1, size // 4)
            taken_mb = await connection.fetchval("SELECT pg_database_size(current_database()) / 1e6")
            found.append(await _times(listing, size // 2) | {"database, MB": float(taken_mb)})
            filled = size
    for row in await connection.fetch(PLAN):
        print(row[0])
    await connection.close()
    return {name: tuple(one[name] for one in found) for name in found[0]}


async def _fill(connection: asyncpg.Connection, first: int, last: int) -> None:
    await connection.execute(ADD, first, last)
    await connection.execute(OPEN)
    await connection.execute("VACUUM ANALYZE")


async def _times(listing: SqlListing, middle: int) -> dict[str, float]:
    return {
        "first page, ms": await _time(listing, Filter(), 0),
        "middle page, ms": await _time(listing, Filter(), middle),
        "of a location, ms": await _time(listing, Filter(location="l2"), middle),
        "of a category and low, ms": await _time(listing, Filter(category="c3", status=Bucket.LOW), middle),
    }


async def _time(listing: SqlListing, wanted: Filter, after: int) -> float:
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        await listing.levels(wanted, after, 50)
        took.append((time.perf_counter() - began) * 1000)
    return round(median(took), 3)


if __name__ == "__main__":
    sys.exit(main())
