"""The schema's history on a database with data: down to each revision, and up again."""

from __future__ import annotations

from subprocess import CalledProcessError

import asyncpg
import pytest

from inventory_api.adapters.sql.store import SqlStore
from inventory_api.application.errors import UnavailableError
from inventory_api.domain.stock import Place
from inventory_api.migrations import newest_revision
from resilience_cli.stack import run_apart
from tests.inventory_api.databases import migrate, opened

FILL = """
    INSERT INTO locations (code, code_fold, name, kind) VALUES ('shop', 'shop', 'Shop', 'store');
    INSERT INTO skus (sku, sku_fold, name, safety_stock, reorder_point, unit_cost)
    VALUES ('0017', '0017', 'Tee', 0, 9, 2.5), ('ABC', 'abc', 'Mug', 0, 0, NULL);
    INSERT INTO stock_levels (sku_id, location_id, on_hand, safety_stock, reorder_point, ledger_sequence)
    SELECT id, 1, 7, 0, reorder_point, 1 FROM skus;
    INSERT INTO ledger (level_id, sequence, delta, before, after, reason, actor, occurred_at)
    SELECT id, 1, 7, 0, 7, 'RECEIPT', 'me', now() FROM stock_levels;
    INSERT INTO imports (id, state, mode, dry_run, actor, sha256)
    VALUES (gen_random_uuid(), 'applied', 'atomic', false, 'me', 'x');
"""
STOCK = """
    SELECT s.sku, l.on_hand, g.delta, g.actor FROM stock_levels l JOIN skus s ON s.id = l.sku_id
    JOIN ledger g ON g.level_id = l.id ORDER BY s.sku
"""


async def execute(url: str, statement: str) -> list[tuple[object, ...]]:
    connection = await asyncpg.connect(url)
    try:
        if statement.lstrip().startswith("SELECT"):
            return [tuple(row) for row in await connection.fetch(statement)]
        await connection.execute(statement)
        return []
    finally:
        await connection.close()


def test_down_and_up_keeps_the_stock_and_its_ledger(database_url: str) -> None:
    migrate(database_url)
    run_apart(execute(database_url, FILL))
    stock = run_apart(execute(database_url, STOCK))

    migrate(database_url, "0001")
    assert run_apart(execute(database_url, STOCK)) == stock
    migrate(database_url)

    assert run_apart(execute(database_url, STOCK)) == stock == [("0017", 7, 7, "me"), ("ABC", 7, 7, "me")]
    assert run_apart(execute(database_url, "SELECT version_num FROM alembic_version")) == [
        (newest_revision(),)
    ]
    assert run_apart(execute(database_url, "SELECT count(*) FROM low_stock")) == [(1,)]

    backordered = "UPDATE stock_levels SET backorder_limit = 5, reserved = on_hand + 3 WHERE id = 1"
    run_apart(execute(database_url, backordered))
    with pytest.raises(CalledProcessError):
        migrate(database_url, "0005")
    kept = "SELECT on_hand, reserved, backorder_limit FROM stock_levels WHERE id = 1"
    assert run_apart(execute(database_url, kept)) == [(7, 10, 5)]
    run_apart(execute(database_url, "UPDATE stock_levels SET reserved = 0 WHERE id = 1"))
    migrate(database_url, "base")
    assert run_apart(execute(database_url, "SELECT to_regclass('skus')")) == [(None,)]


@pytest.mark.parametrize("revision", [None, "0001", "0005"])
async def test_while_the_schema_is_older_who_asks_is_told_to_come_back(
    database_url: str, revision: str | None
) -> None:
    if revision:
        migrate(database_url, revision)

    async with opened(database_url) as database:
        with pytest.raises(UnavailableError, match="schema is being prepared") as refused:
            async with SqlStore(database).transaction() as transaction:
                await transaction.levels.lock([Place("0017", "shop")])

    assert refused.value.retry_after_s == 1
