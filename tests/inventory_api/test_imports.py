"""Imports on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from random import Random
from tempfile import SpooledTemporaryFile

import asyncpg
import pytest

from inventory_api.adapters.sql.imports import SqlImports
from inventory_api.adapters.sql.office import Office
from inventory_api.application.csv_file import Delimiter
from inventory_api.application.errors import FeatureRefusedError, UnavailableError
from inventory_api.application.importing import (
    Faults,
    Import,
    ImportMode,
    Imports,
    ImportState,
    TooManyRowsError,
    UnknownImportError,
    Wish,
)
from inventory_api.application.switches import Switches
from inventory_api.domain.errors import KeyInFlightError, KeyReusedError
from inventory_api.domain.import_row import ImportRow, UnreadableFileError
from resilience_contracts import Level, View, default_policy
from resilience_guards import BreakerSettings, CircuitBreaker
from resilience_runtime import ManualClock
from tests.contracts.states import level_state
from tests.inventory_api.office import emptied, migrated

HEAD = "sku,location,on_hand\n"
BOOKS = """
    SELECT count(*) FROM stock_levels l LEFT JOIN (
        SELECT level_id, sum(delta) AS total, count(*) AS rows, max(sequence) AS last FROM ledger GROUP BY level_id
    ) g ON g.level_id = l.id
    WHERE l.on_hand <> coalesce(g.total, 0) OR coalesce(g.rows, 0) <> coalesce(g.last, 0)
       OR l.ledger_sequence <> coalesce(g.last, 0)
"""


@dataclass
class Shop:
    url: str
    connection: asyncpg.Connection
    imports: Imports
    view: View
    changed: int = 0

    async def run(
        self,
        text: str,
        mode: ImportMode = ImportMode.ATOMIC,
        *,
        dry_run: bool = False,
        key: str | None = None,
    ) -> Import:
        content = text.encode()
        wish = Wish(mode, dry_run, "me", key, hashlib.sha256(content).hexdigest())
        with SpooledTemporaryFile(1000) as file:
            file.write(content)
            return await self.imports.run(file, Delimiter.COMMA, wish)

    async def stock(self) -> dict[str, int]:
        rows = await self.connection.fetch(
            "SELECT k.sku, l.on_hand FROM stock_levels l JOIN skus k ON k.id = l.sku_id"
        )
        return {row["sku"]: row["on_hand"] for row in rows}

    async def count(self, query: str) -> int:
        return int(await self.connection.fetchval(query))


@pytest.fixture(scope="module")
def office_url(postgres_url: str) -> Iterator[str]:
    with migrated(postgres_url) as url:
        yield url


@pytest.fixture
async def shop(office_url: str) -> AsyncIterator[Shop]:
    """A shop with A at 7 and B at 3, of which 2 are held."""
    async with emptied(office_url) as connection:
        shop = await shop_at(office_url, connection)
        yield shop
        assert await shop.count(BOOKS) == 0


async def shop_at(url: str, connection: asyncpg.Connection) -> Shop:
    breaker = CircuitBreaker("postgresql", BreakerSettings(), time.monotonic, Random(1))
    clock, view = ManualClock(), View(default_policy())
    switches = Switches(view, "default", clock, Random(1))
    imports = Imports(SqlImports(Office(url, breaker, "tests")), switches, lambda: None)
    shop = Shop(url, connection, imports, view)
    await connection.execute(
        "INSERT INTO locations (code, code_fold, name, kind) VALUES ('shop', 'shop', 'Shop', 'store')"
    )
    assert (await shop.run("sku,location,on_hand,name\nA,shop,7,Tee\nB,shop,3,Mug\n")).changed == 2
    await connection.execute("UPDATE stock_levels SET reserved = 2 WHERE on_hand = 3")
    return shop


async def test_an_atomic_import_with_a_wrong_row_changes_nothing_b13(shop: Shop) -> None:
    done = await shop.run(HEAD + "B,shop,9\nA,shop,abc\n")

    assert (done.state, done.rows, done.changed, done.failed) == (ImportState.REFUSED, 2, 0, 1)
    assert [(error.line, error.column, error.code) for error in done.errors] == [
        (3, "on_hand", "not_a_quantity")
    ]
    assert await shop.stock() == {"A": 7, "B": 3}
    assert await shop.imports.show(done.id) == done


async def test_best_effort_takes_what_is_right_and_names_the_rest_b13_b19(shop: Shop) -> None:
    text = HEAD + "A,shop,abc\nA,shop,7\nB,shop,1\nC,shop,4\na,shop,1\nB,nowhere,1\nA,shop,8\n"

    done = await shop.run(text, ImportMode.BEST_EFFORT)

    assert (done.state, done.rows, done.changed, done.unchanged, done.failed) == (
        ImportState.APPLIED,
        7,
        0,
        1,
        6,
    )
    assert [(error.line, error.code) for error in done.errors] == [
        (2, "not_a_quantity"),
        (4, "insufficient_stock"),
        (5, "sku_not_found"),
        (6, "repeated"),
        (7, "location_not_found"),
        (8, "repeated"),
    ]
    assert await shop.stock() == {"A": 7, "B": 3}


async def test_a_sku_that_differs_only_in_case_is_refused_b18(shop: Shop) -> None:
    done = await shop.run(
        "sku,name\na,Other\n0017,Seventeen\n17,Another\n12345.,Dotted\n", ImportMode.BEST_EFFORT
    )

    assert [(error.line, error.code) for error in done.errors] == [(2, "sku_exists")]
    names = {row["sku"] for row in await shop.connection.fetch("SELECT sku FROM skus")}
    assert names == {"A", "B", "0017", "17", "12345."}


async def test_existing_levels_are_updated_and_new_skus_added_b19_b32(shop: Shop) -> None:
    text = (
        "sku,location,on_hand,name,category,unit_cost,safety_stock,reorder_point\n"
        "A,shop,0,,apparel,4.2000,1,2\nN,shop,12,New,,1.5,0,3\nB,shop,3,,,,,\n"
    )

    done = await shop.run(text)

    assert (done.changed, done.unchanged, done.failed) == (2, 1, 0)
    assert await shop.stock() == {"A": 0, "B": 3, "N": 12}
    row = await shop.connection.fetchrow("SELECT category, unit_cost::text AS cost FROM skus WHERE sku = 'A'")
    assert row is not None
    assert tuple(row) == ("apparel", "4.2000")
    ledger = await shop.connection.fetch(
        "SELECT delta, reason, reference, actor FROM ledger ORDER BY id DESC LIMIT 2"
    )
    assert {(entry["delta"], entry["reason"], entry["actor"]) for entry in ledger} == {
        (-7, "CORRECTION", "me"),
        (12, "CORRECTION", "me"),
    }
    assert {entry["reference"] for entry in ledger} == {f"import {done.id}"}


async def test_the_same_file_twice_at_once_is_done_once_b19(shop: Shop) -> None:
    text = HEAD + "A,shop,9\nB,shop,5\n"

    first, second = await asyncio.gather(shop.run(text), shop.run(text))

    assert sorted((first.changed, second.changed)) == [0, 2]
    assert await shop.stock() == {"A": 9, "B": 5}
    assert await shop.count("SELECT count(*) FROM ledger") == 4


async def test_a_dry_run_tells_and_changes_nothing(shop: Shop) -> None:
    for mode in ImportMode:
        done = await shop.run(HEAD + "A,shop,9\nB,shop,3\n", mode, dry_run=True)
        assert (done.state, done.changed, done.unchanged) == (ImportState.CHECKED, 1, 1)

    refused = await shop.run(HEAD + "A,shop,9\nB,shop,1\n", dry_run=True)

    assert refused.state is ImportState.REFUSED
    assert await shop.stock() == {"A": 7, "B": 3}


async def test_the_same_key_is_done_once_b14(shop: Shop) -> None:
    done = await shop.run(HEAD + "A,shop,9\n", key="k")
    again = await shop.run(HEAD + "A,shop,9\n", key="k")

    assert again == done
    with pytest.raises(KeyReusedError):
        await shop.run(HEAD + "A,shop,10\n", key="k")
    with pytest.raises(UnreadableFileError):
        await shop.run(HEAD + "A,shop,1", key="other")
    assert (await shop.run(HEAD + "A,shop,11\n", key="other")).changed == 1


async def test_what_a_broken_connection_had_begun_is_done_by_the_retry(shop: Shop) -> None:
    text = HEAD + "A,shop,9\n"
    wish = Wish(
        ImportMode.ATOMIC,
        dry_run=False,
        actor="me",
        key="k",
        sha256=hashlib.sha256(text.encode()).hexdigest(),
    )
    breaker = CircuitBreaker("postgresql", BreakerSettings(), time.monotonic, Random(1))
    imports = SqlImports(Office(shop.url, breaker, "broken"))

    async def chunks() -> AsyncIterator[list[ImportRow]]:
        for age in ("1 second", "1 hour"):
            await shop.connection.execute(
                "UPDATE imports SET created_at = clock_timestamp() - $1::text::interval WHERE key = 'k'", age
            )
            with pytest.raises(KeyInFlightError):
                await shop.run(text, key="k")
        await shop.connection.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'broken office'"
        )
        yield []

    with pytest.raises(UnavailableError):
        await imports.run(wish, chunks(), Faults())
    done = await shop.run(text, key="k")

    assert (done.state, done.rows, done.changed) == (ImportState.APPLIED, 1, 1)
    assert await shop.run(text, key="k") == done
    assert await shop.count("SELECT count(*) FROM imports WHERE key = 'k'") == 1


async def test_expired_holds_give_back_before_a_count_is_compared(shop: Shop) -> None:
    await shop.connection.execute(
        """
        WITH r AS (
            INSERT INTO reservations (owner_ref, state, expires_at)
            VALUES ('cart', 'ACTIVE', clock_timestamp() - interval '1 minute') RETURNING *
        )
        INSERT INTO reservation_lines (reservation_id, level_id, quantity, held, expires_at)
        SELECT r.id, l.id, 2, 2, r.expires_at FROM r, stock_levels l WHERE l.reserved = 2
        """
    )

    done = await shop.run(HEAD + "B,shop,0\n")

    assert (done.changed, done.failed) == (1, 0)
    assert await shop.count("SELECT sum(reserved) FROM stock_levels") == 0


async def test_a_file_that_cannot_be_read_leaves_nothing(shop: Shop) -> None:
    rows = "".join(f"N{number},shop,1,Thing\n" for number in range(5_000))

    with pytest.raises(UnreadableFileError):
        await shop.run("sku,location,on_hand,name\n" + rows + 'A,shop,"9\n', ImportMode.BEST_EFFORT)

    assert await shop.stock() == {"A": 7, "B": 3}
    assert await shop.count("SELECT count(*) FROM imports WHERE state = 'running'") == 0


async def test_the_feature_table_limits_files_and_refuses_them(shop: Shop) -> None:
    shop.view.apply_level(level_state(Level.LIMITED, (7, 1), ManualClock().now()))
    rows = "".join(f"N{number},shop,1,Thing\n" for number in range(101))
    with pytest.raises(TooManyRowsError):
        await shop.run("sku,location,on_hand,name\n" + rows)
    assert (await shop.run(HEAD + "A,shop,8\n")).changed == 1

    shop.view.apply_level(level_state(Level.MINIMAL, (7, 2), ManualClock().now()))
    with pytest.raises(FeatureRefusedError):
        await shop.run(HEAD + "A,shop,9\n")
    assert await shop.stock() == {"A": 8, "B": 3}


async def test_unknown_imports(shop: Shop) -> None:
    for name in ("nonsense", "00000000-0000-4000-8000-000000000000"):
        with pytest.raises(UnknownImportError):
            await shop.imports.show(name)


async def test_a_database_that_is_away_is_said_to_be() -> None:
    breaker = CircuitBreaker("postgresql", BreakerSettings(), time.monotonic, Random(1))

    with pytest.raises(UnavailableError):
        async with Office("postgresql://nobody@127.0.0.1:9/none", breaker, "tests").connection(1):
            pass
