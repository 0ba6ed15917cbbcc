from __future__ import annotations

import asyncio
from datetime import UTC, timedelta

from hypothesis import given
from hypothesis import strategies as st

from resilience_runtime import ManualClock, SystemClock
from resilience_runtime.clock import EPOCH


async def test_the_system_clock_is_aware_and_moves() -> None:
    clock = SystemClock()
    before_s = clock.monotonic()

    await clock.sleep(0.01)

    assert clock.now().tzinfo is UTC
    assert clock.monotonic() - before_s >= 0.009


async def test_a_manual_clock_wakes_a_sleeper_at_its_time_and_not_before() -> None:
    clock = ManualClock()
    sleeper = asyncio.create_task(clock.sleep(5))

    await clock.advance(4.999)
    asleep = not sleeper.done()
    await clock.advance(0.001)

    assert asleep
    assert sleeper.done()
    assert clock.now() == EPOCH + timedelta(seconds=5)


async def test_a_task_that_sleeps_again_wakes_within_one_advance() -> None:
    clock = ManualClock()
    ticks: list[float] = []

    async def tick() -> None:
        while True:
            await clock.sleep(1)
            ticks.append(clock.monotonic())

    task = asyncio.create_task(tick())
    await clock.advance(3.5)
    task.cancel()

    assert ticks == [1, 2, 3]


async def test_a_jumping_clock_moves_by_itself() -> None:
    clock = ManualClock(jump=True)

    await clock.sleep(3600)

    assert clock.monotonic() == 3600


async def test_a_sleeper_that_gave_up_is_not_counted() -> None:
    clock = ManualClock()
    sleeper = asyncio.create_task(clock.sleep(5))
    await clock.advance(1)
    waiting = clock.sleepers

    sleeper.cancel()
    await asyncio.wait({sleeper})

    assert waiting == 1
    assert clock.sleepers == 0
    await clock.advance(10)


@given(st.lists(st.floats(0.001, 100), max_size=8))
def test_sleepers_wake_in_the_order_of_their_times(delays_s: list[float]) -> None:
    async def scenario() -> list[float]:
        clock = ManualClock()
        woken: list[float] = []

        async def sleep(seconds: float) -> None:
            await clock.sleep(seconds)
            woken.append(clock.monotonic())

        tasks = [asyncio.create_task(sleep(each)) for each in delays_s]
        await clock.advance(101)
        await asyncio.gather(*tasks)
        return woken

    assert asyncio.run(scenario()) == sorted(delays_s)
