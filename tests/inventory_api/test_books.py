"""Reports, forecasts and drafts on a real PostgreSQL, with sums done by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from decimal import Decimal
from random import Random

import asyncpg
import pytest

from inventory_api.adapters.sql.books import SqlBooks
from inventory_api.adapters.sql.office import Office
from inventory_api.application.errors import FeatureRefusedError, UnavailableError
from inventory_api.application.insight import DASHBOARD_S, Figures, Insight
from inventory_api.application.switches import Switches
from inventory_api.domain.errors import UnknownSkuError
from inventory_api.domain.gate import Behaviour
from resilience_contracts import View, default_policy
from resilience_runtime import ManualClock
from tests.inventory_api.databases import opened
from tests.inventory_api.office import emptied, migrated

# A: 100 came 200 days ago, 40 came 10 days ago, 60 sold in the last days. B: came and was sold out 2 days ago.
FILL = """
    INSERT INTO locations (code, code_fold, name, kind) VALUES ('shop', 'shop', 'Shop', 'store');
    INSERT INTO skus (sku, sku_fold, name, category, unit_cost, safety_stock, reorder_point)
    VALUES ('A', 'a', 'Tee', 'apparel', 2.5, 0, 90), ('B', 'b', 'Mug', 'apparel', NULL, 0, 3),
           ('C', 'c', 'Cap', NULL, 1, 0, 0);
    INSERT INTO stock_levels (sku_id, location_id, on_hand, incoming, safety_stock, reorder_point, ledger_sequence)
    VALUES (1, 1, 80, 5, 0, 90, 4), (2, 1, 0, 0, 0, 3, 2), (3, 1, 10, 0, 0, 0, 1);
    INSERT INTO reservations (id, owner_ref, state, expires_at)
    VALUES ('00000000-0000-4000-8000-000000000001', 'cart', 'CONFIRMED', now());
    INSERT INTO reservation_lines (reservation_id, level_id, quantity, held, confirmed, expires_at)
    SELECT '00000000-0000-4000-8000-000000000001', n, 5, 0, 5, now() FROM generate_series(1, 2) n;
    INSERT INTO ledger (level_id, sequence, delta, before, after, reason, actor, reservation_id, occurred_at, recorded_at)
    SELECT level_id, sequence, delta, before, before + delta, reason, 'me',
           CASE WHEN basket THEN '00000000-0000-4000-8000-000000000001'::uuid END,
           now() - make_interval(days => ago), now() - make_interval(days => ago)
    FROM (VALUES (1, 1, 100, 0, 'RECEIPT', 200, false), (1, 2, 40, 100, 'RECEIPT', 10, false),
                 (1, 3, -55, 140, 'SALE', 3, false), (1, 4, -5, 85, 'SALE', 1, true),
                 (2, 1, 5, 0, 'RECEIPT', 4, false), (2, 2, -5, 5, 'SALE', 2, true),
                 (3, 1, 10, 0, 'RECEIPT', 40, false))
        AS v (level_id, sequence, delta, before, reason, ago, basket);
"""


@dataclass
class Voice:
    up: bool = True

    async def write(self, task: str, text: str, tokens: int, *, sparing: bool = False) -> str:  # noqa: ARG002 - a writer's signature
        if not self.up:
            raise UnavailableError("openai", "away")
        return f"About: {text}"


@dataclass
class Shop:
    books: SqlBooks
    insight: Insight
    voice: Voice
    clock: ManualClock
    connection: asyncpg.Connection


@pytest.fixture(scope="module")
def office_url(postgres_url: str) -> Iterator[str]:
    with migrated(postgres_url) as url:
        yield url


@pytest.fixture
async def shop(office_url: str) -> AsyncIterator[Shop]:
    async with emptied(office_url) as connection, opened(office_url) as database:
        await connection.execute(FILL)
        clock, voice = ManualClock(), Voice()
        switches = Switches(View(default_policy()), "default", clock, Random(1))
        books = SqlBooks(Office(office_url, database.breaker, "tests"))
        yield Shop(books, Insight(books, voice, switches, clock), voice, clock, connection)


async def test_valuation(shop: Shop) -> None:
    (row,) = await shop.books.report("valuation", 1, "location", 10)
    assert (row["key"], row["units"], row["value"], row["units_without_cost"]) == (
        "shop",
        90,
        Decimal(210),
        0,
    )

    by_category = await shop.books.report("valuation", 1, "category", 10)
    assert [(row["key"], row["value"]) for row in by_category] == [
        ("apparel", Decimal(200)),
        ("", Decimal(10)),
    ]


async def test_turnover(shop: Shop) -> None:
    first, second = await shop.books.report("turnover", 30, "sku", 10)

    # A had 100 thirty days ago and has 80: 60 sold of 90. B had and has none.
    assert (first["key"], first["sold"], first["average_stock"], first["turnover"]) == ("A", 60, 90.0, 0.667)
    assert (second["key"], second["sold"], second["turnover"]) == ("B", 5, None)


async def test_turnover_counts_the_stock_of_places_where_nothing_moved(shop: Shop) -> None:
    await shop.connection.execute(
        """
        INSERT INTO locations (code, code_fold, name, kind) VALUES ('depot', 'depot', 'Depot', 'warehouse');
        INSERT INTO stock_levels (sku_id, location_id, on_hand, safety_stock, reorder_point) VALUES (1, 2, 910, 0, 0);
        """
    )

    first = (await shop.books.report("turnover", 30, "sku", 10))[0]

    assert (first["key"], first["sold"], first["average_stock"], first["turnover"]) == ("A", 60, 1000, 0.06)


async def test_ageing_first_in_first_out(shop: Shop) -> None:
    rows = await shop.books.report("ageing", 1, "age", 10)

    # Of A's 80 the newest 40 came ten days ago, 40 are of the first hundred.
    assert [(row["key"], row["units"]) for row in rows] == [
        ("0-30 days", 40),
        ("31-90 days", 10),
        ("over 180 days", 40),
    ]


async def test_stockouts(shop: Shop) -> None:
    (row,) = await shop.books.report("stockouts", 30, "level", 10)

    assert (row["key"], row["location"], row["times"], row["out_now"]) == ("B", "shop", 1, True)
    assert row["hours_out"] == pytest.approx(48, abs=0.1)


async def test_the_dashboard_is_computed_once_and_remembered(shop: Shop) -> None:
    figures, stale = await shop.insight.dashboard(Behaviour.SERVE)
    assert isinstance(figures, Figures)
    assert (figures.skus, figures.levels, figures.on_hand, figures.low, figures.out) == (3, 3, 90, 1, 1)
    assert (figures.value, figures.sold_7_days, stale) == (Decimal(210), 65, False)

    await shop.connection.execute("UPDATE stock_levels SET on_hand = 91 WHERE on_hand = 80")
    assert await shop.insight.dashboard(Behaviour.SERVE) == (figures, False)
    await shop.clock.advance(DASHBOARD_S)
    newer, _ = await shop.insight.dashboard(Behaviour.SERVE)
    assert newer.on_hand == 101, "whatever PostgreSQL's clock says"
    await shop.connection.execute("UPDATE stock_levels SET on_hand = 80 WHERE on_hand = 91")
    await shop.clock.advance(-3600)
    figures, _ = await shop.insight.dashboard(Behaviour.SERVE)
    assert figures.on_hand == 90

    await shop.connection.execute("ALTER TABLE skus RENAME TO gone")
    try:
        await shop.clock.advance(10**9)
        assert await shop.insight.dashboard(Behaviour.SERVE) == (figures, True)
        assert await shop.insight.dashboard(Behaviour.REDUCED) == (figures, True)
        fresh = Insight(shop.books, shop.voice, shop.insight._switches, shop.clock)
        with pytest.raises(FeatureRefusedError):
            await fresh.dashboard(Behaviour.SERVE)
    finally:
        await shop.connection.execute("ALTER TABLE gone RENAME TO skus")


async def test_a_forecast_has_figures_with_or_without_words(shop: Shop) -> None:
    ahead, words = await shop.insight.forecast("A", 14, Behaviour.SERVE)
    assert len(ahead.days) == 14
    assert ahead.total > 0
    assert words is not None

    assert (await shop.insight.forecast("A", 14, Behaviour.REDUCED))[1] is None
    shop.voice.up = False
    again, words = await shop.insight.forecast("A", 14, Behaviour.SERVE)
    assert (again, words) == (ahead, None)
    with pytest.raises(UnknownSkuError):
        await shop.insight.forecast("NONE", 14, Behaviour.SERVE)
    with pytest.raises(UnknownSkuError):
        await shop.insight.recommend("NONE", 5, Behaviour.SERVE)


async def test_a_draft_orders_what_is_low(shop: Shop) -> None:
    lines, words = await shop.insight.draft(14, 100, Behaviour.SERVE)

    ordered = {each.line.sku: (each.line.position, each.quantity) for each in lines}
    # A: 80 and 5 incoming, to be 91 and what 14 days sell (30). B: to be 4, and 14 days sell 2.5.
    assert ordered == {"A": (85, 6), "B": (0, 4)}
    assert words is not None


async def test_what_was_bought_together_comes_first(shop: Shop) -> None:
    found, _ = await shop.insight.recommend("A", 5, Behaviour.SERVE)

    assert [(each.sku, each.together) for each in found] == [("B", 1)]
    assert (await shop.insight.recommend("C", 5, Behaviour.SERVE))[0] == []
