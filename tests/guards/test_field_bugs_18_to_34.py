"""Bugs that were reported against other breakers; the number is the row of the research's table."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from resilience_guards import (
    Advice,
    BreakerSettings,
    Bulkhead,
    BulkheadFull,
    CircuitBreaker,
    State,
)
from tests.guards.calls import ManualTime, breaker, fail, fetch, hang, opened, state_of


async def test_18_a_hung_dependency_holds_no_more_than_the_bulkhead_and_opens_at_the_deadline() -> None:
    guarded = breaker(ManualTime(), call_deadline_s=0.01, is_ignored=lambda e: isinstance(e, BulkheadFull))
    bulkhead = Bulkhead(20)
    reached = 0

    async def hung() -> None:
        nonlocal reached
        async with bulkhead:
            reached += 1
            await hang()

    await asyncio.gather(*(guarded.call(hung) for _ in range(500)), return_exceptions=True)

    assert reached == 20
    assert state_of(guarded) is State.OPEN


async def test_19_half_open_decides_by_the_rate_of_its_first_results() -> None:
    clock = ManualTime()
    guarded = await opened(clock, half_open_permits=4, minimum_calls=2, failure_rate=0.6)

    await fail(guarded, 1)
    await guarded.call(fetch)

    assert state_of(guarded) is State.CLOSED


async def test_20_a_decorated_coroutine_trips_and_a_plain_function_is_refused() -> None:
    guarded = breaker(ManualTime())

    @guarded
    async def broken() -> None:
        raise OSError

    def plain() -> int:
        return 1

    for _ in range(2):
        with pytest.raises(OSError, match=r"^$"):
            await broken()

    assert state_of(guarded) is State.OPEN
    with pytest.raises(TypeError, match="neither a coroutine function"):
        guarded(plain)


async def test_22_only_the_given_monotonic_clock_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ManualTime()
    guarded = await opened(clock)
    monkeypatch.setattr("time.time", lambda: 0.0)

    assert await guarded.call(fetch) == 1


@pytest.mark.parametrize("row", [23, 24])
async def test_23_24_a_cancelled_probe_is_neutral_and_frees_its_place(row: int) -> None:
    clock = ManualTime()
    guarded = await opened(clock)

    for _ in range(5):
        probe = asyncio.create_task(guarded.call(hang))
        await asyncio.sleep(0)
        assert not guarded.is_call_permitted()
        probe.cancel()
        with pytest.raises(asyncio.CancelledError):
            await probe

    assert state_of(guarded) is State.HALF_OPEN
    assert await guarded.call(fetch) == 1
    assert state_of(guarded) is State.CLOSED


async def test_23_a_stale_success_does_not_clear_an_open_breaker() -> None:
    guarded = breaker(ManualTime())
    stale = guarded.acquire()
    await fail(guarded, 2)

    guarded.succeeded(stale)

    assert state_of(guarded) is State.OPEN
    assert guarded.snapshot().calls == 2


async def test_27_a_probe_of_round_one_is_nothing_to_round_two() -> None:
    clock = ManualTime()
    guarded = await opened(clock, half_open_permits=2, minimum_calls=2)
    first, second = guarded.acquire(), guarded.acquire()
    guarded.failed(first)
    guarded.move(State.OPEN)
    clock.advance(100)
    third = guarded.acquire()

    guarded.succeeded(second)
    guarded.released(second)

    assert state_of(guarded) is State.HALF_OPEN
    assert (guarded.snapshot().calls, guarded.snapshot().permits_free) == (0, 1)
    guarded.succeeded(third)


async def test_30_an_adviser_that_fails_leaves_the_breaker_to_itself(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def down() -> Advice:
        raise ConnectionError

    clock = ManualTime()
    guarded = CircuitBreaker("db", breaker(clock).settings, clock, adviser=down)
    await fail(guarded, 2)

    assert not guarded.is_call_permitted()
    clock.advance(1.1)

    assert await guarded.call(fetch) == 1
    assert "the adviser of circuit breaker 'db' failed" in caplog.text


def test_31_waits_grow_are_capped_spread_and_start_anew() -> None:
    settings = BreakerSettings(open_wait_s=1, open_wait_cap_s=30, open_wait_jitter=0.5)
    rng = random.Random(7)

    first = [settings.wait_s(1, rng) for _ in range(100)]
    late = [settings.wait_s(10_000, rng) for _ in range(100)]

    assert all(0.5 <= wait <= 1 for wait in first)
    assert all(15 <= wait <= 30 for wait in late)
    assert len(set(late)) == 100


async def test_31_closing_starts_the_growth_anew() -> None:
    clock = ManualTime()
    guarded = await opened(clock, open_wait_cap_s=60)
    await fail(guarded, 1)
    assert guarded.snapshot().retry_after_s == 2.0
    clock.advance(2.1)
    await guarded.call(fetch)

    await fail(guarded, 2)

    assert guarded.snapshot().retry_after_s == 1.0


async def test_34_advice_is_not_latched() -> None:
    clock, advice = ManualTime(), [Advice.LATER]
    guarded = CircuitBreaker("db", breaker(clock).settings, clock, adviser=lambda: advice[0])
    await fail(guarded, 2)
    clock.advance(1.1)

    assert not guarded.is_call_permitted()
    advice[0] = Advice.NONE

    assert guarded.is_call_permitted()


async def test_streams_left_early_are_neutral_and_broken_ones_fail() -> None:
    guarded = breaker(ManualTime(), minimum_calls=10)

    async def numbers(upto: int, error: type[Exception] | None = None) -> AsyncIterator[int]:
        for number in range(upto):
            yield number
        if error:
            raise error

    async def read(*arguments: Any, limit: int = 100) -> list[int]:
        stream = guarded.stream(numbers, *arguments)
        got: list[int] = []
        async for number in stream:
            got.append(number)
            if len(got) == limit:
                break
        await stream.aclose()
        return got

    assert await read(5, limit=2) == [0, 1]
    assert guarded.snapshot().calls == 0
    assert await read(5) == [0, 1, 2, 3, 4]
    with pytest.raises(OSError, match=r"^$"):
        await read(3, OSError)

    assert (guarded.snapshot().calls, guarded.snapshot().failed) == (2, 1)
