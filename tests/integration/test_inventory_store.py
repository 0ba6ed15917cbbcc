from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest
from sqlalchemy import text

from inventory_api.adapters.sql.database import Database, Limits
from inventory_api.adapters.sql.store import SqlStore
from inventory_api.adapters.sql.tidying import Tidying
from inventory_api.adapters.sql.writes import CALM, MANY
from inventory_api.application.adjusting import adjust
from inventory_api.application.answering import answer
from inventory_api.application.errors import BusyError, UnavailableError
from inventory_api.application.reserving import Seen, reserve
from inventory_api.application.store import Answer
from inventory_api.domain.errors import (
    InsufficientStockError,
    InventoryError,
    NotHeldError,
    ReservationClosedError,
)
from inventory_api.domain.reservation import ReservationState, Settlement
from inventory_api.domain.stock import Line
from resilience_guards import State
from resilience_runtime import SystemClock
from tests.fixtures.services import new_database
from tests.inventory_api.databases import migrate, opened
from tests.inventory_api.store_contract import StoreContract, Wait, change, hold, level_of, place_with, settle

AUDIT = text("""
    SELECT
        (SELECT count(*) FROM stock_levels l
         WHERE l.on_hand <> COALESCE((SELECT sum(delta) FROM ledger WHERE level_id = l.id), 0)) AS on_hand,
        (SELECT count(*) FROM stock_levels l
         WHERE l.reserved <> COALESCE((SELECT sum(held) FROM reservation_lines WHERE level_id = l.id), 0)) AS reserved,
        (SELECT count(*) FROM stock_levels l
         WHERE l.ledger_sequence <> (SELECT count(*) FROM ledger WHERE level_id = l.id)) AS gaps
""")


@pytest.fixture(scope="module")
def migrated_url(postgres_url: str) -> Iterator[str]:
    with new_database(postgres_url) as url:
        migrate(url)
        yield url


@pytest.fixture
async def database(migrated_url: str) -> AsyncIterator[Database]:
    async with opened(migrated_url) as database:
        yield database


@pytest.fixture
def store(database: Database) -> SqlStore:
    return SqlStore(database)


@pytest.fixture
def wait() -> Wait:
    return time.sleep  # expiry is judged by the database's clock, which nobody can move


async def audit(database: Database) -> tuple[int, ...]:
    async with database.reading() as session:
        return tuple((await session.execute(AUDIT)).one())


class TestSqlStore(StoreContract):
    pass


async def test_oversell_storm_exactly_as_many_as_there_are(store: SqlStore, database: Database) -> None:
    place = await place_with(store, 100)

    results = await asyncio.gather(*(hold(store, Line(place, 1)) for _ in range(500)), return_exceptions=True)

    assert sum(isinstance(result, Seen) for result in results) == 100
    assert sum(isinstance(result, InsufficientStockError) for result in results) == 400
    assert await audit(database) == (0, 0, 0)


async def test_no_deadlock_whatever_the_order_of_lines_b26(store: SqlStore, database: Database) -> None:
    places = [await place_with(store, 1000) for _ in range(4)]
    rng = random.Random(7)

    async def customer() -> None:
        lines = [Line(place, 1) for place in rng.sample(places, len(places))]
        seen = await hold(store, *lines)
        settlement = rng.choice([Settlement.CONFIRM, Settlement.RELEASE])
        await settle(store, seen, settlement, *rng.sample(lines, 2))
        await settle(store, seen, settlement)

    await asyncio.gather(*(customer() for _ in range(100)))

    assert [(await level_of(store, place)).reserved for place in places] == [0, 0, 0, 0]
    assert await audit(database) == (0, 0, 0)


async def test_whatever_runs_in_parallel_the_books_balance(store: SqlStore, database: Database) -> None:
    places = [await place_with(store, 30) for _ in range(3)]
    rng = random.Random(11)
    refusals = (InsufficientStockError, ReservationClosedError, NotHeldError)

    async def adjusted() -> None:
        async with store.transaction() as transaction:
            await adjust(transaction, change(rng.choice(places), rng.choice([-7, -3, 2, 5])))

    async def client() -> None:
        for _ in range(12):
            lines = [Line(place, rng.randint(1, 6)) for place in rng.sample(places, 2)]
            try:
                seen = await hold(store, *lines, ttl_s=rng.choice([1, 60]))
                await settle(store, seen, rng.choice(list(Settlement)), lines[0])
                await settle(store, seen, rng.choice(list(Settlement)))
                await adjusted()
            except refusals:
                continue

    await asyncio.gather(*(client() for _ in range(16)))

    assert await audit(database) == (0, 0, 0)
    for place in places:
        level = await level_of(store, place)
        assert 0 <= level.reserved <= level.on_hand


async def test_the_database_itself_refuses_to_oversell(store: SqlStore, database: Database) -> None:
    place = await place_with(store, 5)

    for broken in ("reserved = 6", "reserved = -1", "on_hand = -1", "on_hand = 9007199254740992"):
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            async with database.writing() as session:
                await session.execute(text(f"UPDATE stock_levels SET {broken} WHERE on_hand = 5"))  # noqa: S608 - constants

    assert (await level_of(store, place)).on_hand == 5
    assert database.breaker.snapshot().failed == 0


async def test_a_row_in_demand_is_busy_and_no_dead_server(
    store: SqlStore, database: Database, migrated_url: str
) -> None:
    place = await place_with(store, 5)
    rival = await asyncpg.connect(migrated_url)
    try:
        async with rival.transaction():
            await rival.execute("SELECT 1 FROM stock_levels FOR UPDATE")
            with pytest.raises(BusyError):
                await hold(store, Line(place, 1))
    finally:
        await rival.close()

    assert database.breaker.snapshot().failed == 0
    assert (await hold(store, Line(place, 1))).reservation.state is ReservationState.ACTIVE


async def test_tidying_closes_what_has_expired(store: SqlStore, database: Database) -> None:
    place = await place_with(store, 5)
    seen = await hold(store, Line(place, 5), ttl_s=1)
    await asyncio.sleep(1.1)  # the database's clock

    await Tidying(database, SystemClock()).tidy()

    async with database.reading() as session:
        states = await session.execute(
            text("SELECT state FROM reservations WHERE id = CAST(:id AS uuid)"), {"id": seen.reservation.id}
        )
        assert states.scalar_one() == "EXPIRED"
    assert await audit(database) == (0, 0, 0)


async def test_migrations_go_down_and_up_again(postgres_url: str) -> None:
    with new_database(postgres_url) as url:
        migrate(url)
        migrate(url)
        async with opened(url) as database:
            await place_with(SqlStore(database), 3)
            migrate(url, "base")
            with pytest.raises(UnavailableError, match="schema"):
                await place_with(SqlStore(database), 3)
            for revision in ("0001", "head", "0002", "head"):
                migrate(url, revision)
            await place_with(SqlStore(database), 3)


async def write(database: Database, *, refused: bool) -> None:
    async with database.writing() as session:
        await session.execute(text(f"SET TRANSACTION READ {'ONLY' if refused else 'WRITE'}"))
        await session.execute(text("UPDATE skus SET name = name WHERE false"))


async def refuse_many(database: Database) -> None:
    for _ in range(MANY):
        await database.check()
        await database.check()
        with pytest.raises(UnavailableError):
            await write(database, refused=True)


async def test_a_server_that_takes_no_writes_is_told_from_one_that_does_however_well_it_reads(
    database: Database,
) -> None:
    await refuse_many(database)
    assert database.breaker.state is State.CLOSED
    assert database.refuses_writes()
    database.breaker.move(State.OPEN)
    assert database.refuses_writes()
    database.breaker.reset()

    for _ in range(CALM):
        await write(database, refused=False)

    assert not database.refuses_writes()


async def test_a_server_that_does_not_read_either_is_away_and_nothing_is_said_of_its_writes(
    database: Database,
) -> None:
    await refuse_many(database)
    assert database.refuses_writes()

    with pytest.raises(UnavailableError):
        async with database.reading():
            raise ConnectionResetError

    assert not database.refuses_writes()


async def test_a_row_in_demand_is_waited_for_and_speaks_against_nobody(migrated_url: str) -> None:
    limits = Limits(writers=4, readers=4, queue_s=5, deadline_s=2)
    async with opened(migrated_url, limits) as database:
        store = SqlStore(database)
        place = await place_with(store, 5)
        rival = await asyncpg.connect(migrated_url)
        transaction = rival.transaction()
        await transaction.start()
        await rival.execute("SELECT 1 FROM stock_levels FOR UPDATE")

        def show(done: Seen | InventoryError) -> Answer:
            return Answer(201 if isinstance(done, Seen) else 409, {}, "")

        asked = asyncio.create_task(
            answer(store, None, lambda t: reserve(t, "cart", [Line(place, 1)], 60), show)
        )
        await asyncio.wait({asked}, timeout=1.6)  # longer than a lock is waited for in one attempt
        assert not asked.done()
        await transaction.rollback()

        assert (await asked).status == 201
        await rival.close()
        seen = database.breaker.snapshot()
        assert (seen.failed, seen.slow_rate or 0) == (0, 0)
