"""How long accepted commands wait, and what the engine is told of it."""

from __future__ import annotations

from random import Random

import pytest

from degradation_engine.domain.score import dependency_score, health_of, traffic
from inventory_api.adapters.backlog import BacklogWatch
from inventory_api.adapters.breakers import HALF_WELL_RATE, BreakerReports, Identity, build_breakers
from inventory_api.adapters.memory import MemoryStore
from inventory_api.application.answering import Request
from inventory_api.application.commands import Backlog, Commands
from inventory_api.application.errors import UnavailableError
from inventory_api.domain.count import Count
from inventory_api.domain.stock import Place
from resilience_contracts import (
    BreakerReport,
    BreakerState,
    Encoded,
    Health,
    HealthObserved,
    Level,
    Topic,
    decode,
    default_policy,
)
from resilience_runtime import ManualClock, MemoryBus


class Bench:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store, self.bus = MemoryStore(self.clock), MemoryBus(clock=self.clock)
        self.watch = BacklogWatch(Backlog(), self.store, self.clock)

    async def accept(self, number: int) -> None:
        commands = Commands(self.bus, self.store, self.clock, "/tests", Backlog())
        count = Count(Place("sku", "shop"), number, "test")
        await commands.accept(count, Request("test", str(number), f"{number:064d}"))
        self.watch.apply(self.bus.records(Topic.COMMANDS)[-1])

    async def applied(self, next_offset: int) -> None:
        async with self.store.transaction() as transaction:
            await transaction.commands.lock_offset(0)
            await transaction.commands.move_offset(0, next_offset)
        await self.watch.look()


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_the_oldest_command_that_is_not_applied_gives_the_age(bench: Bench) -> None:
    assert bench.watch.age_s() is None
    await bench.accept(1)
    await bench.clock.advance(10)
    await bench.accept(2)
    await bench.clock.advance(5)

    await bench.watch.look()
    assert bench.watch.age_s() == 15
    await bench.applied(1)
    assert bench.watch.age_s() == 5
    await bench.applied(2)
    assert bench.watch.age_s() == 0


async def test_without_the_database_the_age_grows(bench: Bench) -> None:
    await bench.accept(1)
    await bench.watch.look()
    bench.store.up = False
    await bench.clock.advance(60)

    with pytest.raises(UnavailableError):
        await bench.watch.look()

    assert bench.watch.age_s() == 60


async def test_a_log_that_begins_anew_is_read_anew(bench: Bench) -> None:
    await bench.accept(1)
    await bench.watch.look()
    bench.watch.forget()

    assert bench.watch.age_s() == 0


@pytest.mark.parametrize(("behind", "rate"), [(True, 0.5), (False, None)])
def test_postgresql_is_half_well_while_commands_wait_too_long(behind: bool, rate: float | None) -> None:
    policy, sent = default_policy(), list[Encoded]()
    clock = ManualClock()
    breakers = build_breakers(policy, {}, Random(1))
    identity = Identity("default", "one", "boot", "/tests")
    reports = BreakerReports(breakers, policy, identity, clock, sent.append, half_well=lambda: behind)

    for name in ("postgresql", "redis"):
        reports.report(name)

    events = [decode(record.value, record.headers).event for record in sent]
    told = {
        e.dependency: e.breaker.failure_rate for e in events if isinstance(e, HealthObserved) and e.breaker
    }
    assert told == {"postgresql": rate, "redis": None}


def test_half_well_is_not_optimal_and_not_down() -> None:
    policy = default_policy()
    report = BreakerReport(state=BreakerState.CLOSED, failure_rate=HALF_WELL_RATE, interval_s=5)

    believed = traffic(report)

    assert believed is not None
    points = dependency_score(1.0, 1.0, believed)
    lost = policy.dependencies["postgresql"].weight * (100 - points / 100) / 100
    assert 100 - lost < policy.levels.boundaries[Level.OPTIMAL] / 100
    assert health_of(points) is Health.IMPAIRED
