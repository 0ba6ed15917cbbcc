"""A backup of a million ledger rows: written and proved, then restored into the place of the database.

The bound is a time, not a ratio: a shop without stock for two minutes is what was agreed.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

import asyncpg

from resilience_cli.backup import back_up
from resilience_cli.restore import restore
from resilience_cli.stack import PostgreSQL, await_ready, free_ports, halt, run_apart, start
from tests.fixtures.place import private_place
from tests.inventory_api.databases import migrate

LEVELS, ROWS_EACH = 10_000, 100
BOUND_S = 120.0
RESULT = Path(".stack/bench/inventory_restore.json")
FILL = (
    "INSERT INTO locations (code, code_fold, name, kind) VALUES ('shop', 'shop', 'Shop', 'store')",
    "ALTER TABLE stock_levels DISABLE TRIGGER USER",
    "ALTER TABLE ledger DISABLE TRIGGER USER",
    f"""
    INSERT INTO skus (sku, sku_fold, name, safety_stock, reorder_point)
    SELECT 'SKU-' || n, 'sku-' || n, 'Thing ' || n, 0, 5 FROM generate_series(1, {LEVELS}) n
    """,  # noqa: S608 - a constant of this file
    f"""
    INSERT INTO stock_levels (sku_id, location_id, on_hand, safety_stock, reorder_point, ledger_sequence)
    SELECT id, 1, {ROWS_EACH}, 0, 5, {ROWS_EACH} FROM skus ORDER BY id
    """,  # noqa: S608 - as above
    f"""
    INSERT INTO ledger (level_id, sequence, delta, before, after, reason, reference, actor, occurred_at)
    SELECT l.id, n, 1, n - 1, n, 'RECEIPT', 'delivery-' || n, 'a1b2c3d4e5f6', clock_timestamp()
    FROM generate_series(1, {ROWS_EACH}) n, stock_levels l ORDER BY n, l.id
    """,  # noqa: S608 - as above
    "ALTER TABLE stock_levels ENABLE TRIGGER USER",
    "ALTER TABLE ledger ENABLE TRIGGER USER",
)


def main() -> int:
    """Measure, print, and answer 1 when the restore takes two minutes or more."""
    with private_place() as place:
        database = PostgreSQL(place, free_ports(1)[0])
        running = start(database, place, "the port of postgresql")
        try:
            await_ready(running, 60)
            migrate(database.url)
            asyncio.run(_fill(database.url))
            figures = _measure(database.url, place.root / "stock.dump")
        finally:
            halt(running)
    for name, figure in figures.items():
        print(f"{name:<24} {figure:>14,.1f}")
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return int(figures["restore, s"] >= BOUND_S)


async def _fill(url: str) -> None:
    connection = await asyncpg.connect(url)
    for statement in FILL:
        await connection.execute(statement)
    await connection.close()


def _measure(url: str, file: Path) -> dict[str, float]:
    began_s = time.monotonic()
    proof = run_apart(back_up(url, file))
    backed_up_s = time.monotonic()
    restored = run_apart(restore(url, file, None))
    ended_s = time.monotonic()
    assert restored.proof.rows == proof.rows
    return {
        "ledger rows": float(proof.rows["ledger"]),
        "file, MB": file.stat().st_size / 1e6,
        "backup with proof, s": backed_up_s - began_s,
        "restore, s": ended_s - backed_up_s,
    }


if __name__ == "__main__":
    sys.exit(main())
