"""The thirteen invariants, each under real parallelism on a real PostgreSQL; afterwards every audit finds nothing."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from inventory_api.adapters.sql.audits import AUDITS
from inventory_api.adapters.sql.database import Database, Limits
from inventory_api.adapters.sql.store import SqlStore
from inventory_api.application.adjusting import Adjusted, Thresholds, adjust, set_thresholds
from inventory_api.application.answering import Request, answer
from inventory_api.application.applying import apply_command
from inventory_api.application.batching import adjust_many
from inventory_api.application.counting import count_stock
from inventory_api.application.moving import advance, plan_transfer
from inventory_api.application.reserving import Seen, find_reservation
from inventory_api.application.returning import Sale, take_back
from inventory_api.application.store import Answer, Store, Transaction
from inventory_api.domain.adjustment import Reason
from inventory_api.domain.count import Count
from inventory_api.domain.errors import (
    BatchRefusedError,
    InsufficientStockError,
    InventoryError,
    KeyInFlightError,
    NotSoldError,
)
from inventory_api.domain.reservation import Settlement
from inventory_api.domain.stock import Line, Place, StockLevel
from inventory_api.domain.transfer import NewTransfer, cancel, receive, ship, ship_and_receive
from inventory_api.http.move_rendering import applied_answer
from resilience_contracts import AdjustmentCommand
from tests.fixtures.services import new_database
from tests.inventory_api.auditor import violations
from tests.inventory_api.databases import migrate, opened
from tests.inventory_api.store_contract import change, hold, level_of, place_with, settle

NOW = datetime(2026, 11, 25, tzinfo=UTC)
T = TypeVar("T")
few = settings(
    max_examples=3,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


class Shop:
    """One database, one loop, one store for the module."""

    def __init__(self, url: str, runner: asyncio.Runner, database: Database) -> None:
        self.url, self._runner, self.database = url, runner, database
        self.store: Store = SqlStore(database)

    def run(self, work: Awaitable[T]) -> T:
        async def awaited() -> T:
            return await work

        return self._runner.run(awaited())

    def check(self) -> None:
        assert self.run(violations(self.url)) == {}

    async def within(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        async with self.store.transaction() as transaction:
            return await work(transaction)


@pytest.fixture(scope="module")
def shop(postgres_url: str) -> Iterator[Shop]:
    limits = Limits(writers=8, readers=4, queue_s=30, deadline_s=5)
    with new_database(postgres_url) as url, asyncio.Runner() as runner:
        migrate(url)
        context = opened(url, limits)
        database = runner.run(context.__aenter__())
        try:
            yield Shop(url, runner, database)
        finally:
            runner.run(context.__aexit__(None, None, None))


async def together(*work: Awaitable[Any]) -> list[Any]:
    """Do all at once; only refusals of the inventory are an answer."""
    results = await asyncio.gather(*work, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, InventoryError):
            raise result
    return results


class Client:
    """Does what a plan says; each step is (verb, which of the places, a number)."""

    def __init__(self, shop: Shop, places: list[Place]) -> None:
        self._shop, self._places = shop, places
        self._held: Seen | None = None

    async def follow(self, plan: list[tuple[str, int, int]]) -> None:
        for verb, which, number in plan:
            await together(getattr(self, verb)(self._places[which % len(self._places)], number))

    async def hold(self, place: Place, number: int) -> None:
        others = [p for p in self._places if p != place][: number % 3]
        self._held = await hold(self._shop.store, Line(place, number), *(Line(p, 1) for p in others))

    async def confirm(self, place: Place, number: int) -> None:
        await self._settle(Settlement.CONFIRM, place, number)

    async def release(self, place: Place, number: int) -> None:
        await self._settle(Settlement.RELEASE, place, number)

    async def _settle(self, settlement: Settlement, place: Place, number: int) -> None:
        if self._held:
            lines = [Line(place, number)] if number % 2 else []
            await settle(self._shop.store, self._held, settlement, *lines)

    async def adjust(self, place: Place, number: int) -> None:
        delta = number if number % 2 else -number
        await self._shop.within(lambda t: adjust(t, change(place, delta)))

    async def count(self, place: Place, number: int) -> None:
        found = Count(place, number * 3, "test", NOW if number % 2 else None)
        await self._shop.within(lambda t: count_stock(t, found))

    async def threshold(self, place: Place, number: int) -> None:
        await self._shop.within(lambda t: set_thresholds(t, place, None, Thresholds(number % 3, number)))

    async def transfer(self, place: Place, number: int) -> None:
        there = next(p for p in self._places if p.sku == place.sku and p != place)
        new = NewTransfer(place.location, there.location, {place.sku: number})
        planned = await self._shop.within(lambda t: plan_transfer(t, new))
        for take in (ship, cancel) if number % 3 == 0 else (ship_and_receive,):
            await self._shop.within(partial(advance, transfer_id=planned.id, take=take, actor="test"))

    async def take_back(self, place: Place, number: int) -> None:
        if self._held:
            sale = Sale(self._held.reservation.id, None)
            await self._shop.within(lambda t: take_back(t, sale, [Line(place, number)], "test"))

    async def batch(self, place: Place, number: int) -> None:
        rows = [change(p, d) for p, d in zip(self._places, (1, -number, number, -2), strict=False)]
        await self._shop.within(lambda t: adjust_many(t, [*rows, change(place, -1)], atomic=number % 2 == 0))


VERBS = (
    "hold",
    "confirm",
    "release",
    "adjust",
    "count",
    "threshold",
    "transfer",
    "take_back",
    "batch",
)
steps = st.tuples(st.sampled_from(VERBS), st.integers(0, 3), st.integers(1, 6))
plans = st.lists(st.lists(steps, min_size=3, max_size=8), min_size=3, max_size=8)


async def two_skus_at_two_locations(shop: Shop, on_hand: int) -> list[Place]:
    first = await place_with(shop.store, on_hand)
    second = await place_with(shop.store, on_hand, location=first.location)
    elsewhere = await place_with(shop.store, 0)
    both = [Place(sku, elsewhere.location) for sku in (first.sku, second.sku)]
    for place in both:
        await shop.within(partial(adjust, adjustment=change(place, on_hand)))
    return [first, second, *both]


@few
@given(plans)
def test_01_02_03_11_the_books_balance_and_nobody_deadlocks_b26_b29(
    shop: Shop, given_plans: list[list[tuple[str, int, int]]]
) -> None:
    async def load() -> None:
        places = await two_skus_at_two_locations(shop, 12)
        await together(
            *(Client(shop, places[n % 4 :] + places[: n % 4]).follow(p) for n, p in enumerate(given_plans))
        )

    shop.run(load())

    shop.check()
    assert shop.database.breaker.snapshot().failed == 0


@few
@given(st.integers(0, 25), st.integers(1, 7))
def test_04_as_many_holds_as_there_is_stock_for_b2_b4(shop: Shop, stock: int, quantity: int) -> None:
    async def storm() -> list[Any]:
        place = await place_with(shop.store, stock)
        tries = stock // quantity + 5
        return await together(*(hold(shop.store, Line(place, quantity)) for _ in range(tries)))

    results = shop.run(storm())

    assert sum(isinstance(result, Seen) for result in results) == stock // quantity
    assert all(isinstance(result, Seen | InsufficientStockError) for result in results)
    shop.check()


@few
@given(
    stock=st.integers(0, 9),
    limit=st.integers(1, 5),
    quantity=st.integers(1, 4),
    other_limit=st.integers(0, 9),
)
def test_03_holds_go_beyond_what_is_available_up_to_the_limit(
    shop: Shop, stock: int, limit: int, quantity: int, other_limit: int
) -> None:
    async def sold() -> tuple[int, StockLevel]:
        place = await place_with(shop.store, stock, backorder_limit=limit)
        holds = (hold(shop.store, Line(place, quantity)) for _ in range(20))
        seen = [each for each in await together(*holds) if isinstance(each, Seen)]
        beside = (
            *(settle(shop.store, each, Settlement.CONFIRM) for each in seen),
            *(shop.within(partial(adjust, adjustment=change(place, delta))) for delta in (2, -1, 1, -2)),
            shop.within(lambda t: set_thresholds(t, place, None, Thresholds(1, 2, other_limit))),
        )
        await together(*beside)
        return len(seen), await level_of(shop.store, place)

    held, level = shop.run(sold())

    assert held == min(20, (stock + limit) // quantity)
    assert level.on_hand >= max(0, level.reserved - level.backorder_limit)
    shop.check()


@few
@given(st.integers(2, 6), st.integers(1, 9))
def test_05_a_key_is_done_once_b14(shop: Shop, times: int, delta: int) -> None:
    key = uuid.uuid4().hex

    async def ask(place: Place) -> Answer:
        async def work(transaction: Transaction) -> Adjusted:
            return await adjust(transaction, change(place, delta))

        def show(done: Adjusted | InventoryError) -> Answer:
            assert isinstance(done, Adjusted)
            return applied_answer(done)

        return await answer(shop.store, Request("me", key, "sha"), work, show)

    async def repeat() -> tuple[list[Any], Answer, int]:
        place = await place_with(shop.store, 10)
        results = await together(*(ask(place) for _ in range(times)))
        return results, await ask(place), (await level_of(shop.store, place)).on_hand

    results, again, on_hand = shop.run(repeat())

    done = [result for result in results if isinstance(result, Answer)]
    assert {each.body for each in done} == {again.body}
    assert {type(each) for each in results if each not in done} <= {KeyInFlightError}
    assert on_hand == 10 + delta
    shop.check()


@few
@given(
    st.lists(
        st.tuples(st.sampled_from(list(Settlement)), st.none() | st.integers(1, 4)), min_size=2, max_size=8
    )
)
def test_06_final_states_absorb_and_quantities_add_up_b5_b7_b16(
    shop: Shop, settlements: list[tuple[Settlement, int | None]]
) -> None:
    async def settled() -> tuple[Seen, Seen]:
        place = await place_with(shop.store, 10)
        seen = await hold(shop.store, Line(place, 7))
        await together(
            *(
                settle(shop.store, seen, how, *([Line(place, part)] if part else []))
                for how, part in settlements
            )
        )
        await together(settle(shop.store, seen, Settlement.RELEASE))
        before = await shop.within(lambda t: find_reservation(t, seen.reservation.id))
        await together(*(settle(shop.store, seen, how) for how in Settlement))
        return before, await shop.within(lambda t: find_reservation(t, seen.reservation.id))

    before, after = shop.run(settled())

    assert before.reservation == after.reservation
    assert after.reservation.state.final
    line = after.reservation.lines[0]
    assert (line.held, line.confirmed + line.released) == (0, 7)
    shop.check()


EXPIRE = text("""
    WITH r AS (UPDATE reservations SET expires_at = clock_timestamp() WHERE id = CAST(:id AS uuid))
    UPDATE reservation_lines SET expires_at = clock_timestamp() WHERE reservation_id = CAST(:id AS uuid)
""")


@few
@given(st.integers(1, 5), st.integers(2, 6))
def test_07_an_expired_hold_strands_nothing_and_sells_nothing(shop: Shop, quantity: int, rivals: int) -> None:
    async def race() -> tuple[list[Any], int]:
        place = await place_with(shop.store, quantity)
        seen = await hold(shop.store, Line(place, quantity))
        async with shop.database.writing() as session:
            await session.execute(EXPIRE, {"id": seen.reservation.id})
        results = await together(
            settle(shop.store, seen, Settlement.CONFIRM),
            *(hold(shop.store, Line(place, quantity)) for _ in range(rivals)),
        )
        return results, (await level_of(shop.store, place)).on_hand

    results, on_hand = shop.run(race())

    confirmed, *holds = results
    assert not isinstance(confirmed, Seen)
    assert sum(isinstance(result, Seen) for result in holds) == 1
    assert on_hand == quantity
    shop.check()


@few
@given(st.lists(st.tuples(st.integers(1, 6), st.integers(0, 4)), min_size=2, max_size=6))
def test_08_transfers_conserve_stock_b25(shop: Shop, moves: list[tuple[int, int]]) -> None:
    async def move() -> tuple[int, int, int]:
        here = await place_with(shop.store, 12)
        there = Place(here.sku, (await place_with(shop.store, 0)).location)
        planned = [
            await shop.within(
                partial(plan_transfer, new=NewTransfer(here.location, there.location, {here.sku: quantity}))
            )
            for quantity, _ in moves
        ]

        async def go(number: int, part: int) -> None:
            name = planned[number].id
            await shop.within(lambda t: advance(t, name, ship, "test"))
            arrived = {here.sku: part} if part else None
            await shop.within(lambda t: advance(t, name, lambda x: receive(x, arrived, close=False), "test"))
            if number % 2:
                await shop.within(lambda t: advance(t, name, cancel, "test"))

        await together(*(go(n, part) for n, (_, part) in enumerate(moves) for _ in range(2)))
        levels = (await level_of(shop.store, here), await level_of_if(shop, there))
        return levels[0].on_hand, *(levels[1] or (0, 0))

    here, there, incoming = shop.run(move())

    assert here + there + incoming == 12
    shop.check()


async def level_of_if(shop: Shop, place: Place) -> tuple[int, int] | None:
    async with shop.store.reading() as transaction:
        stock = await transaction.levels.stock([place.sku], NOW)
    found = [level for level in stock[place.sku].levels if level.place == place]
    return (found[0].on_hand, found[0].incoming) if found else None


@few
@given(st.integers(1, 9), st.integers(1, 4), st.booleans())
def test_09_what_was_sold_comes_back_once(shop: Shop, sold: int, part: int, reserved: bool) -> None:
    async def give_back() -> tuple[list[Any], int]:
        place = await place_with(shop.store, 10)
        reference = uuid.uuid4().hex
        if reserved:
            seen = await hold(shop.store, Line(place, sold))
            await settle(shop.store, seen, Settlement.CONFIRM)
            sale = Sale(seen.reservation.id, None)
        else:
            at_the_till = change(place, -sold, Reason.SALE, reference)
            await shop.within(lambda t: adjust(t, at_the_till))
            sale = Sale(None, reference)
        back = [shop.within(lambda t: take_back(t, sale, [Line(place, part)], "test")) for _ in range(12)]
        return await together(*back), (await level_of(shop.store, place)).on_hand

    results, on_hand = shop.run(give_back())

    done = [result for result in results if not isinstance(result, NotSoldError)]
    assert len(done) == sold // part
    assert on_hand == 10 - sold + sold // part * part
    shop.check()


@few
@given(st.lists(st.integers(-8, 8).filter(bool), min_size=1, max_size=8), st.booleans())
def test_10_a_batch_is_whole_or_each_row_for_itself_b19(shop: Shop, deltas: list[int], atomic: bool) -> None:
    async def many() -> tuple[list[Any], int]:
        place = await place_with(shop.store, 20)
        unknown = Place("nothing-here", place.location)
        rows = [*(change(place, delta) for delta in deltas), change(unknown, 1)]
        twice = [shop.within(lambda t: adjust_many(t, rows, atomic=atomic)) for _ in range(2)]
        whole = [shop.within(lambda t: adjust_many(t, rows[:1], atomic=True))]
        return await together(*twice, *whole), (await level_of(shop.store, place)).on_hand

    results, on_hand = shop.run(many())

    changed = 20
    for result in results:
        if not isinstance(result, BatchRefusedError):
            changed += sum(o.delta for o in result.outcomes if not isinstance(o, InventoryError))
    assert on_hand == changed
    if atomic:
        assert all(isinstance(result, BatchRefusedError) for result in results[:2])
    else:
        assert [o.code for o in results[0].outcomes if isinstance(o, InventoryError)][-1] == "sku_not_found"
    shop.check()


@few
@given(st.integers(1, 7))
def test_12_a_scan_during_writes_returns_each_earlier_row_once(shop: Shop, page: int) -> None:
    async def scan(place: Place) -> list[int]:
        seen: list[int] = []
        after = 0
        while True:
            async with shop.store.reading() as transaction:
                entries = await transaction.ledger.entries(place.sku, None, after, page)
            if not entries:
                return seen
            seen += [entry.id for entry in entries]
            after = entries[-1].id

    async def both() -> tuple[list[int], list[int]]:
        place = await place_with(shop.store, 5)
        for _ in range(9):
            await shop.within(lambda t: adjust(t, change(place, 1)))
        earlier = await scan(place)
        writes = [shop.within(lambda t: adjust(t, change(place, 1))) for _ in range(10)]
        scanned, *_ = await together(scan(place), *writes)
        return earlier, scanned

    earlier, scanned = shop.run(both())

    assert len(earlier) == 10
    assert [number for number in scanned if number in set(earlier)] == earlier
    assert len(scanned) == len(set(scanned))
    shop.check()


@few
@given(st.lists(st.integers(-5, 5).filter(bool), min_size=1, max_size=6))
def test_13_a_command_is_applied_once_or_an_exception(shop: Shop, deltas: list[int]) -> None:
    partition = uuid.uuid4().int % 10**9

    async def drain(commands: list[AdjustmentCommand]) -> list[Any]:
        outcomes = []
        for offset, command in enumerate(commands):
            outcomes += await together(apply_command(shop.store, command, partition, offset, applied_answer))
        return outcomes

    async def replay() -> tuple[list[Any], int]:
        place = await place_with(shop.store, 6)
        commands = [command(place, delta) for delta in deltas]
        log = [*commands, *commands]  # each stored twice: the first acknowledgement was lost
        first, *others = await together(*(drain(log) for _ in range(3)))
        return [*first, *(outcome for other in others for outcome in other)], (
            await level_of(shop.store, place)
        ).on_hand

    outcomes, on_hand = shop.run(replay())

    final = {o.id: o.state for o in outcomes if o is not None}
    assert len(final) == len(deltas)
    expected = 6
    for delta in deltas:
        expected += delta if expected + delta >= 0 else 0
    assert on_hand == expected
    shop.check()


def command(place: Place, delta: int) -> AdjustmentCommand:
    name = uuid.uuid4().hex
    return AdjustmentCommand(
        command_id=name,
        idempotency_key=name,
        request_sha256="a" * 64,
        sku=place.sku,
        location=place.location,
        delta=delta,
        reason="CORRECTION",
        actor="test",
        occurred_at=NOW,
        accepted_at=NOW + timedelta(seconds=1),
    )


CORRUPTIONS = {
    "01": "UPDATE stock_levels SET on_hand = on_hand + 1 WHERE on_hand > 0",
    "02": "UPDATE stock_levels SET reserved = reserved - 1 WHERE reserved > 0",
    "03": """
        ALTER TABLE stock_levels DROP CONSTRAINT stock_levels_never_oversold;
        UPDATE stock_levels SET reserved = on_hand + 1
    """,
    "04": "UPDATE ledger SET reservation_id = NULL WHERE reservation_id IS NOT NULL",
    "05": "UPDATE operations SET state = 'exception' WHERE state = 'applied'",
    "06": "UPDATE reservations SET state = 'RELEASED' WHERE state = 'ACTIVE'",
    "07": "UPDATE reservations SET expires_at = created_at",
    "08": "UPDATE stock_levels SET incoming = incoming + 1",
    "09": "UPDATE ledger SET reason = 'RETURN' WHERE reason = 'CORRECTION' AND delta > 0",
    "10": "INSERT INTO batches VALUES (gen_random_uuid(), true, 2, 1)",
    "12": """
        UPDATE ledger SET sequence = -sequence + 1000000 WHERE level_id = (
            SELECT level_id FROM ledger GROUP BY level_id HAVING count(*) > 1 LIMIT 1)
    """,
    "13": "DELETE FROM answers",
}


@pytest.mark.parametrize("number", sorted(CORRUPTIONS))
def test_each_audit_finds_what_it_looks_for(shop: Shop, number: str) -> None:
    async def corrupted() -> int:
        place = await place_with(shop.store, 20)
        await hold(shop.store, Line(place, 1))
        await settle(shop.store, await hold(shop.store, Line(place, 2)), Settlement.CONFIRM)
        name = uuid.uuid4().int % 10**9
        await apply_command(shop.store, command(place, 3), name, 0, applied_answer)
        query = next(query for audit, query in AUDITS.items() if audit.startswith(number))
        connection = await asyncpg.connect(shop.url, timeout=10)
        try:
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute(CORRUPTIONS[number])
            found = int(await connection.fetchval(query))
            await transaction.rollback()
        finally:
            await connection.close()
        return found

    assert shop.run(corrupted()) > 0
