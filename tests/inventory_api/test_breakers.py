"""What the engine hears of the breakers, and when."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import pairwise
from random import Random

import pytest

from inventory_api.adapters import cache
from inventory_api.adapters.breakers import (
    BreakerReports,
    Identity,
    Returning,
    build_breakers,
    deadline_s,
)
from inventory_api.adapters.images import Bucket, S3Images
from inventory_api.adapters.sql.database import Database, Limits, connect
from inventory_api.adapters.writer import Model, OpenAIWriter
from resilience_contracts import BreakerState, Encoded, HealthObserved, decode, default_policy
from resilience_guards import CircuitBreaker, State
from resilience_runtime import ManualClock
from resilience_runtime.trace_context import traceparent_of, within

POLICY = default_policy()
POSTGRESQL = POLICY.dependencies["postgresql"]


class Bench:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.sent: list[Encoded] = []
        self.breakers = build_breakers(POLICY, {}, Random(1), self.clock.monotonic)
        identity = Identity("default", "one", "boot", "/tests")
        self.reports = BreakerReports(
            self.breakers, POLICY, identity, self.clock, self.sent.append, half_well=lambda: False
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


async def test_a_change_belongs_to_the_trace_of_the_call_that_made_it_and_a_repeated_report_to_none(
    bench: Bench,
) -> None:
    trace = f"00-{'1' * 32}-{'2' * 16}-01"
    with within(trace):
        bench.fail()
    changed = bench.sent[-1]
    await bench.clock.advance(POSTGRESQL.interval_s)

    assert traceparent_of(changed.headers) == trace
    assert {traceparent_of(each.headers) for each in bench.sent if each is not changed} == {None}


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


async def test_failures_of_a_short_outage_are_not_remembered_for_as_long_as_nobody_calls(
    bench: Bench,
) -> None:
    asked: list[float] = []

    async def check() -> None:
        async with bench.postgresql.guard():
            asked.append(bench.clock.monotonic())

    for number in range(30):
        permit = bench.postgresql.acquire()
        (bench.postgresql.failed if number >= 20 else bench.postgresql.succeeded)(permit)
    assert bench.postgresql.snapshot().failure_rate == pytest.approx(1 / 3)
    task = asyncio.create_task(Returning(bench.postgresql, check, bench.clock).run())

    await bench.clock.advance(20)
    enough = len(asked)
    await bench.clock.advance(20)

    assert (bench.postgresql.snapshot().failure_rate or 0) < 0.1
    assert 0 < enough == len(asked) <= POSTGRESQL.breaker.window_calls
    task.cancel()
    await asyncio.wait({task})


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port


@pytest.fixture
async def outside(
    bench: Bench, unused_port: int
) -> AsyncIterator[dict[str, Callable[[], Awaitable[object]]]]:
    """The four clients, each in front of a port where nobody listens."""
    address = f"127.0.0.1:{unused_port}"
    breakers, limits = bench.breakers, Limits(1, 1, 1.0, deadline_s(POLICY, "postgresql"))
    engine = connect(f"postgresql://nobody@{address}/nothing", limits, "test")
    redis = cache.connect(f"redis://{address}/0", deadline_s(POLICY, "redis"))
    bucket = Bucket(f"http://{address}", "bucket", "eu-central-1", "key", "secret")
    model = Model(f"http://{address}/v1", "key", "model", "small model")
    database = Database(engine, breakers["postgresql"], limits)
    shared = cache.RedisStockCache(redis, breakers["redis"], 900)
    images = S3Images(bucket, breakers["s3"], deadline_s(POLICY, "s3"))
    writer = OpenAIWriter(model, breakers["openai"], deadline_s(POLICY, "openai"))
    yield {
        "postgresql": database.check,
        "redis": shared.check,
        "s3": images.check,
        "openai": writer.check,
    }
    images.close()
    await shared.close()
    await writer.close()
    await database.close()


@pytest.mark.parametrize("name", ["postgresql", "redis", "s3", "openai"])
async def test_each_client_goes_through_its_breaker(
    bench: Bench, outside: dict[str, Callable[[], Awaitable[object]]], name: str
) -> None:
    with contextlib.suppress(Exception):
        await outside[name]()

    assert {each: breaker.snapshot().failed for each, breaker in bench.breakers.items()} == {
        each: int(each == name) for each in bench.breakers
    }
    bench.breakers[name].force_open()
    with contextlib.suppress(Exception):
        await outside[name]()
    assert bench.breakers[name].snapshot().refused_total == 1
