"""What the engine hears of the breakers, and when."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from random import Random

import pytest

from inventory_api.adapters.breakers import BreakerReports, Identity, Returning, build_breakers
from resilience_contracts import BreakerState, Encoded, HealthObserved, decode, default_policy
from resilience_guards import CircuitBreaker, State
from resilience_runtime import ManualClock

POLICY = default_policy()
POSTGRESQL = POLICY.dependencies["postgresql"]


class Bench:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.sent: list[Encoded] = []
        self.breakers = build_breakers(POLICY, {}, Random(1), self.clock.monotonic)
        identity = Identity("default", "one", "boot", "/tests")
        self.reports = BreakerReports(
            self.breakers, POLICY, identity, self.clock, self.sent.append, behind=lambda: False
        )

    @property
    def postgresql(self) -> CircuitBreaker:
        return self.breakers["postgresql"]

    def told(self) -> list[BreakerState]:
        events = [decode(record.value, record.headers).event for record in self.sent]
        return [
            event.breaker.state
            for event in events
            if isinstance(event, HealthObserved) and event.dependency == "postgresql" and event.breaker
        ]

    def fail(self) -> None:
        while self.postgresql.state is not State.OPEN:
            self.postgresql.failed(self.postgresql.acquire())


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    task = asyncio.create_task(bench.reports.run())
    await bench.clock.advance(0)
    yield bench
    task.cancel()
    await asyncio.wait({task})


async def test_every_breaker_is_told_of_at_once_and_in_every_interval(bench: Bench) -> None:
    events = [decode(record.value, record.headers).event for record in bench.sent]
    seen = [(event.dependency, event.observer) for event in events if isinstance(event, HealthObserved)]
    assert seen == [(name, "one") for name in POLICY.dependencies]

    await bench.clock.advance(POSTGRESQL.interval_s * 3)

    assert bench.told() == [BreakerState.CLOSED] * 4


async def test_an_opening_is_told_before_anything_else_happens(bench: Bench) -> None:
    bench.fail()

    assert bench.told() == [BreakerState.CLOSED, BreakerState.OPEN]
    assert bench.reports.changes == {("postgresql", "OPEN"): 1}


async def test_the_end_of_the_wait_is_told_though_nobody_calls(bench: Bench) -> None:
    bench.fail()

    await bench.clock.advance(POSTGRESQL.breaker.open_wait_s + 0.3)

    assert bench.told() == [BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN]
    assert bench.reports.changes["postgresql", "HALF_OPEN"] == 1
    assert bench.postgresql.snapshot().permits_free == POSTGRESQL.breaker.half_open_permits


async def test_one_at_a_time_asks_whether_it_is_back(bench: Bench) -> None:
    asked = []

    async def check() -> None:
        async with bench.postgresql:
            asked.append(bench.clock.monotonic())
            await bench.clock.sleep(0.01)

    bench.fail()
    task = asyncio.create_task(Returning(bench.postgresql, check, bench.clock).run())

    await bench.clock.advance(POSTGRESQL.breaker.open_wait_s + 2)

    assert bench.told()[-1] is BreakerState.CLOSED
    assert len(asked) == POSTGRESQL.breaker.half_open_permits
    assert min(later - sooner for sooner, later in pairwise(asked)) > 0.2
    task.cancel()
    await asyncio.wait({task})
