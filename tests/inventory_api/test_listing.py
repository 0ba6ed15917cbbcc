"""Lists, search and exports on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from tempfile import SpooledTemporaryFile

import asyncpg
import pytest

from inventory_api.adapters.sql import listing as sql_listing
from inventory_api.adapters.sql.exports import SqlExports
from inventory_api.adapters.sql.listing import SqlListing
from inventory_api.adapters.sql.office import Office
from inventory_api.application.errors import UnavailableError
from inventory_api.application.exporting import POLL_S, Exports, ExportState, UnknownExportError
from inventory_api.application.listing import Filter
from inventory_api.application.searching import Search
from inventory_api.application.switches import Switches
from inventory_api.domain.gate import Behaviour
from inventory_api.domain.stock import Bucket
from resilience_contracts import View, default_policy
from resilience_runtime import ManualClock
from tests.inventory_api.databases import opened
from tests.inventory_api.office import emptied, migrated

FILL = """
    INSERT INTO locations (code, code_fold, name, kind)
    VALUES ('shop', 'shop', 'Shop', 'store'), ('hub', 'hub', 'Hub', 'warehouse');
    INSERT INTO skus (sku, sku_fold, name, category, barcodes, safety_stock, reorder_point, unit_cost)
    SELECT 'S' || n, 's' || n, CASE WHEN n = 3 THEN '=cmd()' ELSE 'Black tee no ' || n END,
           CASE WHEN n % 2 = 0 THEN 'apparel' END, ARRAY['40' || n], 1, 5, n
    FROM generate_series(1, 30) n;
    INSERT INTO stock_levels (sku_id, location_id, on_hand, safety_stock, reorder_point)
    SELECT s.id, p.id, s.id, 1, 5 FROM skus s, locations p ORDER BY s.id, p.id;
    WITH r AS (
        INSERT INTO reservations (owner_ref, state, expires_at)
        VALUES ('cart', 'ACTIVE', clock_timestamp() - interval '1 minute') RETURNING *
    )
    INSERT INTO reservation_lines (reservation_id, level_id, quantity, held, expires_at)
    SELECT r.id, 59, 20, 20, r.expires_at FROM r;
    UPDATE stock_levels SET reserved = 20 WHERE id = 59;
"""


@dataclass
class Drawer:
    """Where exports lie in a test."""

    up: bool = True
    refused: str = "nothing"
    kept: dict[str, bytes] = field(default_factory=dict)

    async def keep_file(self, name: str, file: SpooledTemporaryFile[bytes]) -> None:
        if not self.up or self.refused in name:
            raise UnavailableError("s3", "away")
        self.kept[name] = file.read()

    async def link(self, name: str, valid_s: int) -> str:
        return f"https://s3.example/{name}?expires={valid_s}"


@dataclass
class Meaning:
    """A model to which one text means the same as another."""

    near: str
    up: bool = True

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        if not self.up:
            raise UnavailableError("openai", "away")
        return [[1.0, 0.0], *([0.9, 0.1] if self.near in text else [0.0, 1.0] for text in texts[1:])]


@dataclass
class Shop:
    connection: asyncpg.Connection
    listing: SqlListing
    exports: Exports
    drawer: Drawer
    clock: ManualClock

    async def all(self, wanted: Filter, limit: int) -> list[tuple[str, str]]:
        after: int | None = 0
        found: list[tuple[str, str]] = []
        while after is not None:
            page = await self.listing.levels(wanted, after, limit)
            assert len(page.levels) <= limit
            found += [(level.place.sku, level.place.location) for level in page.levels]
            after = page.following
        return found


@pytest.fixture(scope="module")
def office_url(postgres_url: str) -> Iterator[str]:
    with migrated(postgres_url) as url:
        yield url


@pytest.fixture
async def shop(office_url: str) -> AsyncIterator[Shop]:
    async with emptied(office_url) as connection, opened(office_url) as database:
        await connection.execute(FILL)
        clock, drawer = ManualClock(), Drawer()
        switches = Switches(View(default_policy()), "default", clock, Random(1))
        exports = Exports(SqlExports(Office(office_url, database.breaker, "tests")), drawer, switches, clock)
        yield Shop(connection, SqlListing(database), exports, drawer, clock)


@pytest.mark.parametrize("limit", [1, 7, 60, 200])
async def test_pages_give_each_level_once(shop: Shop, limit: int) -> None:
    found = await shop.all(Filter(), limit)

    assert len(found) == len(set(found)) == 60


async def test_filters_hold_on_every_page_whatever_a_page_looks_at(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql_listing, "SCANNED", 7)

    low = await shop.all(Filter(location="shop", status=Bucket.LOW), 2)
    out = await shop.all(Filter(status=Bucket.OUT), 3)
    apparel = await shop.all(Filter(category="apparel", location="hub"), 50)

    assert low == [(f"S{n}", "shop") for n in range(2, 7)]
    assert out == [("S1", "shop"), ("S1", "hub")]
    assert len(apparel) == 15
    assert await shop.all(Filter(location="nowhere"), 5) == []


async def test_expired_holds_are_not_counted(shop: Shop) -> None:
    (level,) = (await shop.listing.levels(Filter(), 58, 1)).levels

    assert (level.on_hand, level.reserved, level.available) == (30, 0, 29)


async def test_a_scan_during_writes_gives_each_earlier_row_once_i12(shop: Shop) -> None:
    done = asyncio.Event()

    async def write() -> None:
        number = 1000
        while not done.is_set():
            number += 1
            await shop.connection.execute("UPDATE stock_levels SET on_hand = on_hand + 1 WHERE id % 7 = 0")
            await shop.connection.execute(
                """WITH s AS (INSERT INTO skus (sku, sku_fold, name, safety_stock, reorder_point)
                   VALUES ($1, $1, 'New', 0, 0) RETURNING id)
                   INSERT INTO stock_levels (sku_id, location_id, safety_stock, reorder_point)
                   SELECT id, 1, 0, 0 FROM s""",
                f"n{number}",
            )

    writer = asyncio.create_task(write())
    for _ in range(3):
        found = await shop.all(Filter(location="hub"), 4) + await shop.all(Filter(location="shop"), 200)
        old = [place for place in found if place[0].startswith("S")]
        assert len(old) == len(set(old)) == 60
    done.set()
    await writer


async def test_search_by_sku_barcode_and_beginnings_of_words(shop: Shop) -> None:
    assert [sku.sku for sku in await shop.listing.search("s30", 5)] == ["S30"]
    assert [sku.sku for sku in await shop.listing.search("4017", 5)] == ["S17"]
    assert {sku.sku for sku in await shop.listing.search("appa bla", 50)} == {
        f"S{n}" for n in range(2, 31, 2)
    }
    assert next(sku.sku for sku in await shop.listing.search("S1", 3)) == "S1"
    for hostile in ("'", "zz & | ! ( ) :*", "\\", "%", "_", "\u202e", "x" * 120, "=zz"):
        assert await shop.listing.search(hostile, 5) == []


async def test_a_model_orders_what_words_found_and_words_do_without_it(shop: Shop) -> None:
    meaning = Meaning("no 20")
    search = Search(shop.listing, meaning)

    found, by_model = await search.find("black", 3, Behaviour.SERVE)
    assert (found[0].sku, by_model) == ("S20", True)
    assert (await search.find("black", 3, Behaviour.REDUCED))[1] is False
    meaning.up = False
    found, by_model = await search.find("black", 3, Behaviour.SERVE)
    assert (len(found), by_model) == (3, False)


async def test_a_streamed_export_neutralises_formulas_and_can_be_imported_again(shop: Shop) -> None:
    content = b"".join([piece async for piece in shop.exports.stream("shop")])

    rows = list(csv.DictReader(io.StringIO(content.decode())))
    assert len(rows) == 30
    assert rows[2]["name"] == "'=cmd()"
    assert (rows[29]["on_hand"], rows[29]["available"], rows[29]["unit_cost"]) == ("30", "29", "30.0000")


async def test_an_export_waits_until_s3_is_there(shop: Shop) -> None:
    shop.drawer.up = False
    export = await shop.exports.add("me", "k", None)
    assert (await shop.exports.add("me", "k", None)).id == export.id

    with pytest.raises(UnavailableError):
        await shop.exports.write_one()
    assert await shop.exports.show(export.id) == (export, None)

    shop.drawer.up = True
    await shop.clock.advance(POLL_S)
    assert await shop.exports.write_one()
    assert not await shop.exports.write_one()

    done, url = await shop.exports.show(export.id)
    assert (done.state, done.rows) == (ExportState.DONE, 60)
    assert url is not None
    assert done.bytes == len(shop.drawer.kept[f"exports/{export.id}.csv"])
    with pytest.raises(UnknownExportError):
        await shop.exports.show("nothing")


async def test_an_export_that_fails_rests_longer_each_time_and_holds_up_no_later_one(shop: Shop) -> None:
    first, second = [await shop.exports.add("me", key, None) for key in ("first", "second")]
    shop.drawer.refused = first.id
    for rest_s in (POLL_S, 2 * POLL_S):
        with pytest.raises(UnavailableError):
            await shop.exports.write_one()
        await shop.exports.write_one()
        assert not await shop.exports.write_one()
        await shop.clock.advance(rest_s)

    shop.drawer.refused = "nothing"
    assert await shop.exports.write_one()
    assert {f"exports/{export.id}.csv" for export in (first, second)} == shop.drawer.kept.keys()
