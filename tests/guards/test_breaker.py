from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from resilience_guards import BreakerSettings, CallNotPermitted, CircuitBreaker, State


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


async def good() -> int:
    return 1


async def bad() -> int:
    raise OSError


def breaker(clock: Clock, **settings: object) -> CircuitBreaker:
    defaults: dict[str, object] = {
        "window_calls": 4,
        "minimum_calls": 2,
        "open_wait_s": 1.0,
        "open_wait_jitter": 0.0,
        "half_open_permits": 1,
    }
    return CircuitBreaker("db", BreakerSettings(**(defaults | settings)), clock)  # type: ignore[arg-type]


async def fail(guarded: CircuitBreaker, times: int = 2) -> None:
    for _ in range(times):
        with pytest.raises(OSError):
            await guarded.call(bad)


async def test_trips_refuses_probes_and_closes() -> None:
    clock = Clock()
    guarded = breaker(clock)

    await fail(guarded)

    assert guarded.state is State.OPEN
    with pytest.raises(CallNotPermitted) as refusal:
        await guarded.call(good)
    assert refusal.value.retry_after_s == 1.0
    clock.now_s += 1.001
    assert await guarded.call(good) == 1
    assert guarded.state is State.CLOSED


async def test_async_with_and_decorator_and_stream() -> None:
    clock = Clock()
    guarded = breaker(clock, window_calls=10, minimum_calls=10)

    @guarded
    async def numbers(limit: int) -> AsyncIterator[int]:
        for number in range(limit):
            yield number

    @guarded
    async def one() -> int:
        return 1

    async with guarded:
        assert await one() == 1
    assert [number async for number in numbers(3)] == [0, 1, 2]

    assert guarded.snapshot().calls == 3


async def test_own_deadline_fails_and_outer_cancellation_is_neutral() -> None:
    guarded = breaker(Clock(), call_deadline_s=0.01)

    async def hang() -> None:
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await guarded.call(hang)
    task = asyncio.create_task(guarded.call(hang))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert (guarded.snapshot().calls, guarded.snapshot().failed) == (1, 1)
