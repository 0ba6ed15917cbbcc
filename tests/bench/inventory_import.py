"""A hundred thousand rows through an import, and through an export, on a real PostgreSQL; seconds and memory.

The floor of the same run is PostgreSQL's own COPY of the same file into a bare table.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import resource
import sys
import time
from pathlib import Path
from random import Random
from tempfile import SpooledTemporaryFile

import asyncpg

from inventory_api.adapters.sql.exports import SqlExports
from inventory_api.adapters.sql.imports import SqlImports
from inventory_api.adapters.sql.office import Office
from inventory_api.application.csv_file import Delimiter
from inventory_api.application.importing import Import, ImportMode, Imports, Wish
from inventory_api.application.switches import Switches
from resilience_cli.stack import PostgreSQL, await_ready, free_ports, halt, start
from resilience_contracts import View, default_policy
from resilience_guards import BreakerSettings, CircuitBreaker
from resilience_runtime import ManualClock
from tests.fixtures.place import private_place
from tests.inventory_api.databases import migrate

ROWS = int(os.environ.get("ROWS", "100000"))
SECONDS_BOUND = 60.0
MEMORY_BOUND_MB = 150.0
RESULT = Path(".stack/bench/inventory_import.json")


def main() -> int:
    """Measure, print, and answer 1 when a bound is missed."""
    with private_place() as place:
        database = PostgreSQL(place, free_ports(1)[0])
        running = start(database, place, "the port of postgresql")
        try:
            await_ready(running, 60)
            migrate(database.url)
            figures = asyncio.run(_measure(database.url))
        finally:
            halt(running)
    figures["peak_rss_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
    for name, value in figures.items():
        print(f"{name:<28} {value:>10}")
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    slow = max(figures["import_new_s"], figures["import_changed_s"], figures["import_best_effort_s"])
    return int(slow > SECONDS_BOUND or figures["peak_rss_mb"] > MEMORY_BOUND_MB)


async def _measure(url: str) -> dict[str, float]:
    breaker = CircuitBreaker("postgresql", BreakerSettings(), time.monotonic, Random(1))
    office = Office(url, breaker, "bench")
    switches = Switches(View(default_policy()), "default", ManualClock(), Random(1))
    imports = Imports(SqlImports(office), switches, lambda: None)
    connection = await asyncpg.connect(url)
    await connection.execute(
        "INSERT INTO locations (code, code_fold, name, kind) VALUES ('hub', 'hub', 'Hub', 'warehouse')"
    )
    figures = {"copy_floor_s": await _floor(connection)}
    for name, first, mode in (
        ("import_new_s", 1, ImportMode.ATOMIC),
        ("import_unchanged_s", 1, ImportMode.ATOMIC),
        ("import_changed_s", 2, ImportMode.ATOMIC),
        ("import_best_effort_s", 3, ImportMode.BEST_EFFORT),
    ):
        began = time.perf_counter()
        done = await _import(imports, first, mode)
        figures[name] = round(time.perf_counter() - began, 2)
        print(f"{name} {figures[name]} s", flush=True)
        assert done.changed == (0 if name == "import_unchanged_s" else ROWS)
    began, size = time.perf_counter(), 0
    async for chunk in SqlExports(office).rows(None):
        size += len(chunk)
    figures["export_rows_s"] = round(time.perf_counter() - began, 2)
    assert size == ROWS
    await connection.close()
    return figures


async def _floor(connection: asyncpg.Connection) -> float:
    await connection.execute(
        "CREATE TEMPORARY TABLE bare (sku text, location text, on_hand bigint, name text)"
    )
    began = time.perf_counter()
    records = ((f"SKU-{n:06}", "hub", n % 1000, f"Thing no {n}") for n in range(ROWS))
    await connection.copy_records_to_table("bare", records=records)
    return round(time.perf_counter() - began, 2)


async def _import(imports: Imports, add: int, mode: ImportMode) -> Import:
    with SpooledTemporaryFile(1 << 18) as file:
        file.write(b"sku,location,on_hand,name\n")
        for number in range(ROWS):
            file.write(f"SKU-{number:06},hub,{number % 1000 + add},Thing no {number}\n".encode())
        digest = hashlib.sha256(str(add).encode()).hexdigest()
        wish = Wish(mode, dry_run=False, actor="bench", key=None, sha256=digest)
        return await imports.run(file, Delimiter.COMMA, wish)


if __name__ == "__main__":
    sys.exit(main())
