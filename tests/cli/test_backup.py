"""Backups of a real database, damaged and whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from resilience_cli.backup import back_up, restore
from resilience_cli.errors import StackError
from resilience_cli.stack import run_apart
from tests.inventory_api.databases import migrate

FILL = """
    INSERT INTO locations (code, code_fold, name, kind) VALUES ('shop', 'shop', 'Shop', 'store');
    INSERT INTO skus (sku, sku_fold, name, safety_stock, reorder_point)
    SELECT 'S' || n, 's' || n, 'Thing', 0, 0 FROM generate_series(1, 50) n;
    INSERT INTO stock_levels (sku_id, location_id, on_hand, safety_stock, reorder_point, ledger_sequence)
    SELECT id, 1, 7, 0, 0, 1 FROM skus;
    INSERT INTO ledger (level_id, sequence, delta, before, after, reason, actor, occurred_at)
    SELECT id, 1, 7, 0, 7, 'RECEIPT', 'me', now() FROM stock_levels;
"""


async def execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def value(url: str, query: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def databases(url: str) -> set[str]:
    connection = await asyncpg.connect(url)
    try:
        return {row[0] for row in await connection.fetch("SELECT datname FROM pg_database")}
    finally:
        await connection.close()


@pytest.fixture
def stock_url(database_url: str) -> Iterator[str]:
    """A database with fifty levels of seven; what a restore left beside it is dropped."""
    migrate(database_url)
    run_apart(execute(database_url, FILL))
    yield database_url
    server, _, name = database_url.rpartition("/")
    for other in run_apart(databases(f"{server}/postgres")):
        if other.startswith(f"{name}_"):
            run_apart(execute(f"{server}/postgres", f'DROP DATABASE "{other}" WITH (FORCE)'))


def test_a_backup_is_proved_and_restores_what_was_there(stock_url: str, tmp_path: Path) -> None:
    file = tmp_path / "stock.dump"
    before = run_apart(databases(stock_url))

    proof = run_apart(back_up(stock_url, file))

    assert (proof.rows["ledger"], proof.rows["stock_levels"]) == (50, 50)
    assert (tmp_path / "stock.dump.sha256").read_text() == f"{proof.sha256}  stock.dump\n"
    assert file.stat().st_mode & 0o077 == 0
    assert run_apart(databases(stock_url)) == before

    run_apart(execute(stock_url, "UPDATE stock_levels SET on_hand = 1"))
    restored = run_apart(restore(stock_url, file, None))

    assert restored.proof.rows == proof.rows
    assert run_apart(value(stock_url, "SELECT sum(on_hand)::int FROM stock_levels")) == 350
    assert restored.old in run_apart(databases(stock_url))


def test_a_damaged_backup_changes_nothing(stock_url: str, tmp_path: Path) -> None:
    file = tmp_path / "stock.dump"
    run_apart(back_up(stock_url, file))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    before = run_apart(databases(stock_url))

    with pytest.raises(StackError, match="checksum"):
        run_apart(restore(stock_url, file, None))

    assert run_apart(databases(stock_url)) == before


def test_books_that_do_not_balance_are_not_restored(stock_url: str, tmp_path: Path) -> None:
    file = tmp_path / "stock.dump"
    run_apart(execute(stock_url, "UPDATE stock_levels SET on_hand = 8 WHERE id = 3"))
    run_apart(back_up(stock_url, file))
    before = run_apart(databases(stock_url))

    with pytest.raises(StackError, match="1 stock levels"):
        run_apart(restore(stock_url, file, None))

    assert run_apart(databases(stock_url)) == before


def test_a_database_that_is_away_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="does not answer"):
        run_apart(back_up("postgresql://nobody:secret@127.0.0.1:9/none", tmp_path / "x.dump"))

    assert not list(tmp_path.iterdir())
