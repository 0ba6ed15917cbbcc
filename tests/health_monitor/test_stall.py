from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from health_monitor.stall import TICK_S, StallMeter
from resilience_runtime import ManualClock


class LateClock:
    """A clock whose sleeper wakes only when the test lets it, however late that is."""

    def __init__(self) -> None:
        self.time_s = 0.0
        self.wake = asyncio.Event()

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.time_s, UTC)

    def monotonic(self) -> float:
        return self.time_s

    async def sleep(self, seconds: float) -> None:
        assert seconds == TICK_S
        await self.wake.wait()
        self.wake.clear()


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_loop_that_is_on_time_is_not_stalled() -> None:
    clock = ManualClock()
    meter = StallMeter(clock)
    task = asyncio.create_task(meter.run())

    await clock.advance(60)

    assert meter.stalled_s() < TICK_S
    task.cancel()


async def test_a_late_tick_counts_while_it_is_late_and_for_good() -> None:
    clock = LateClock()
    meter = StallMeter(clock)
    task = asyncio.create_task(meter.run())
    await turn()

    clock.time_s = TICK_S + 2
    still_late_s = meter.stalled_s()
    clock.wake.set()
    await turn()
    on_time_again_s = meter.stalled_s()

    assert still_late_s == on_time_again_s == 2
    task.cancel()


async def test_time_before_the_first_tick_does_not_count() -> None:
    clock = LateClock()
    meter = StallMeter(clock)

    clock.time_s = 100

    assert meter.stalled_s() == 0
