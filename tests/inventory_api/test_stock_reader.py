from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from random import Random

import pytest

from inventory_api.adapters.memory import MemoryStore
from inventory_api.application.adjusting import adjust
from inventory_api.application.errors import FeatureRefusedError
from inventory_api.application.stock_reader import Ages, Layer, StockMemory, StockReader
from inventory_api.application.switches import Switches
from inventory_api.domain.errors import UnknownSkuError
from inventory_api.domain.stock import Place, Stock
from resilience_contracts import (
    Because,
    DependencyState,
    FeatureState,
    Health,
    HoldSet,
    Level,
    View,
    default_policy,
)
from resilience_runtime import ManualClock
from tests.contracts.states import level_state
from tests.inventory_api.store_contract import change, place_with

AGES = Ages(soft_s=1, hard_s=900, most=100, deadline_s=0.28)


class SetForward(ManualClock):
    """A clock that somebody has set forward by so much."""

    def __init__(self, ahead: timedelta) -> None:
        super().__init__(jump=True)
        self.ahead = ahead

    def now(self) -> datetime:
        return super().now() + self.ahead


class Shared:
    """The shared cache's contract, in a dictionary."""

    def __init__(self) -> None:
        self.stocks: dict[str, Stock] = {}
        self.asked = 0

    async def get_many(self, skus: Sequence[str]) -> dict[str, Stock]:
        self.asked += 1
        return {sku: self.stocks[sku] for sku in skus if sku in self.stocks}

    async def put_many(self, stocks: Iterable[Stock]) -> None:
        self.stocks |= {stock.sku.sku: stock for stock in stocks}


class Bench:
    """A reader over memory."""

    def __init__(self) -> None:
        self.clock = ManualClock(jump=True)
        self.store = MemoryStore(self.clock)
        self.shared = Shared()
        self.view = View(default_policy())
        self.version = 0

    def reader(self) -> StockReader:
        """Another replica."""
        switches = Switches(self.view, "default", self.clock, Random(1))
        return StockReader(self.store, self.shared, switches, self.clock, AGES)

    def set_level(self, level: Level, down: str | None = None) -> None:
        self.version += 1
        state = level_state(level, (1, self.version), self.clock.now())
        if down:
            lost = DependencyState(health=Health.DOWN, score=0, since=self.clock.now())
            state = state.model_copy(update={"dependencies": {down: lost}})
        self.view.apply_level(state)


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_a_fresh_value_is_not_read_again(bench: Bench) -> None:
    sku = (await place_with(bench.store, 5)).sku
    reader = bench.reader()

    first = await reader.one(sku)
    again = await reader.one(sku)

    assert (first.stock.available, first.stale, again.stale) == (5, False, False)
    assert bench.store.reads == 1
    assert reader.served[Layer.MEMORY] == 1


async def test_after_the_soft_age_it_is(bench: Bench) -> None:
    place = await place_with(bench.store, 5)
    reader = bench.reader()
    await reader.one(place.sku)
    async with bench.store.transaction() as transaction:
        await adjust(transaction, change(place, 3))

    await bench.clock.sleep(1)

    assert (await reader.one(place.sku)).stock.available == 8


async def test_what_was_read_before_the_clock_was_set_back_is_read_again_and_replaced(bench: Bench) -> None:
    place = await place_with(bench.store, 5)
    clock = SetForward(timedelta(hours=1))
    switches = Switches(bench.view, "default", clock, Random(1))
    reader = StockReader(bench.store, bench.shared, switches, clock, AGES)
    await reader.one(place.sku)
    async with bench.store.transaction() as transaction:
        await adjust(transaction, change(place, 3))

    clock.ahead = timedelta(0)

    assert (await reader.one(place.sku)).stock.available == 8
    kept = reader.memory.get(place.sku)
    assert kept is not None
    assert kept.as_of == clock.now()
    assert reader.at_hand(place.sku) is kept


async def test_own_changes_are_seen_at_once(bench: Bench) -> None:
    place = await place_with(bench.store, 5)
    reader = bench.reader()
    await reader.one(place.sku)
    async with bench.store.transaction() as transaction:
        await adjust(transaction, change(place, 3))
    await bench.clock.sleep(0.001)

    reader.changed([place.sku])

    assert (await reader.one(place.sku)).stock.available == 8


async def test_another_replica_finds_it_in_the_shared_cache(bench: Bench) -> None:
    sku = (await place_with(bench.store, 5)).sku
    await bench.reader().one(sku)
    await asyncio.sleep(0)
    other = bench.reader()

    assert (await other.one(sku)).stock.available == 5
    assert bench.store.reads == 1
    assert other.served[Layer.SHARED] == 1


async def test_many_who_ask_at_once_ask_the_database_once(bench: Bench) -> None:
    sku = (await place_with(bench.store, 5)).sku
    reader = bench.reader()

    await asyncio.gather(*(reader.one(sku) for _ in range(100)))

    assert bench.store.reads == 1


async def test_when_the_database_fails_the_last_known_is_given_with_its_age(bench: Bench) -> None:
    sku = (await place_with(bench.store, 5)).sku
    reader = bench.reader()
    await reader.one(sku)
    bench.store.up = False
    await bench.clock.sleep(600)

    reading = await reader.one(sku)

    assert (reading.stale, reading.age_s) == (True, 600)
    assert reader.served[Layer.LAST_KNOWN] == 1


async def test_after_one_failure_nobody_who_can_be_answered_waits(bench: Bench) -> None:
    sku = (await place_with(bench.store, 5)).sku
    reader = bench.reader()
    await reader.one(sku)
    bench.store.up = False
    await bench.clock.sleep(2)
    await reader.one(sku)
    bench.store.up = True

    async with bench.store.transaction():  # the store answers nobody meanwhile
        assert (await asyncio.wait_for(reader.one(sku), 0.1)).stale
    await asyncio.wait(set(reader._flights._by_key.values()))

    assert not (await reader.one(sku)).stale


async def test_beyond_the_hard_age_it_is_refused_not_lied(bench: Bench) -> None:
    sku = (await place_with(bench.store, 5)).sku
    reader = bench.reader()
    await reader.one(sku)
    bench.store.up = False

    await bench.clock.sleep(901)

    with pytest.raises(FeatureRefusedError) as refused:
        await reader.one(sku)
    assert refused.value.refusal.because is Because.DEPENDENCY
    assert refused.value.refusal.feature == "inventory.availability"


async def test_in_fallback_the_database_is_left_alone(bench: Bench) -> None:
    sku = (await place_with(bench.store, 5)).sku
    await bench.reader().one(sku)
    await asyncio.sleep(0)
    bench.set_level(Level.MINIMAL, down="postgresql")
    restarted = bench.reader()

    reading = await restarted.one(sku)

    assert (reading.stale, reading.stock.available) == (True, 5)
    assert bench.store.reads == 1
    with pytest.raises(FeatureRefusedError):
        await restarted.one("never seen")


async def test_in_fallback_an_unknown_value_is_read_if_the_database_is_back(bench: Bench) -> None:
    sku = (await place_with(bench.store, 5)).sku
    bench.set_level(Level.MINIMAL)
    reader = bench.reader()

    assert (await reader.one(sku)).stale
    assert bench.store.reads == 1
    with pytest.raises(UnknownSkuError):
        await reader.one("never seen")


async def test_an_operators_fallback_spares_the_database(bench: Bench) -> None:
    sku = (await place_with(bench.store, 5)).sku
    bench.set_level(Level.OPTIMAL)
    bench.view.apply_hold(
        HoldSet(
            scope="default",
            target="inventory.availability",
            hold_id="h",
            version=1,
            state=FeatureState.FALLBACK,
            reason="maintenance of the database",
            actor="op",
            set_at=bench.clock.now(),
            expires_at=bench.clock.now() + timedelta(hours=1),
        )
    )

    with pytest.raises(FeatureRefusedError):
        await bench.reader().one(sku)

    assert bench.store.reads == 0


async def test_without_the_cache_feature_redis_is_not_asked(bench: Bench) -> None:
    sku = (await place_with(bench.store, 5)).sku
    state = level_state(
        Level.DEGRADED, (9, 9), bench.clock.now(), {"performance.caching": FeatureState.DISABLED}
    )
    bench.view.apply_level(state)

    await bench.reader().one(sku)

    assert bench.shared.asked == 0


def test_memory_keeps_the_newest_and_the_most_recently_used() -> None:
    bench = Bench()
    memory = StockMemory(2)
    now = bench.clock.now()

    async def stocks() -> list[Stock]:
        places: list[Place] = [await place_with(bench.store, n) for n in (1, 2, 3)]
        async with bench.store.reading() as transaction:
            found = await transaction.levels.stock([place.sku for place in places], now)
        return list(found.values())

    first, second, third = asyncio.run(stocks())
    memory.put(first, now)
    memory.put(second, now)
    memory.get(first.sku.sku)
    memory.put(third, now)

    assert memory.get(second.sku.sku) is None
    assert memory.get(first.sku.sku) is first
    older = Stock(first.sku, (), now - timedelta(seconds=1))
    memory.put(older, now)
    assert memory.get(first.sku.sku) is first
