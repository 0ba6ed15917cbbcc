"""A machine's clock that is set while the engine runs."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from degradation_engine.adapters.steady_clock import SteadyClock
from resilience_runtime.clock import EPOCH, ManualClock

HOUR = timedelta(hours=1)


class SettableClock(ManualClock):
    """A machine whose date and time can be set."""

    off = timedelta()

    def now(self) -> datetime:
        return super().now() + self.off


@pytest.mark.parametrize("off", [HOUR, -HOUR])
async def test_a_step_of_the_machine_s_clock_is_not_followed(off: timedelta) -> None:
    machine = SettableClock()
    clock = SteadyClock(machine)

    machine.off = off
    await machine.advance(5)
    clock.heard(EPOCH + timedelta(seconds=4.9))

    assert clock.now() == EPOCH + timedelta(seconds=5)
    machine.off = timedelta()
    assert clock.now() == EPOCH + timedelta(seconds=5)


@pytest.mark.parametrize("off", [HOUR, -HOUR])
async def test_a_clock_that_was_set_right_is_followed_once_the_log_agrees(off: timedelta) -> None:
    machine = SettableClock()
    clock = SteadyClock(machine)

    machine.off = off
    await machine.advance(5)
    clock.heard(machine.now() - timedelta(seconds=0.1))

    assert clock.now() == machine.now() == EPOCH + timedelta(seconds=5) + off


async def test_records_of_long_ago_do_not_bring_a_step_forward() -> None:
    machine = SettableClock()
    clock = SteadyClock(machine)

    machine.off = HOUR
    clock.heard(EPOCH - HOUR)

    assert clock.now() == EPOCH


async def test_a_clock_that_is_trimmed_is_followed_however_far() -> None:
    machine = SettableClock()
    clock = SteadyClock(machine)

    for _ in range(20):
        machine.off += timedelta(seconds=0.5)
        await machine.advance(1)
        assert clock.now() == machine.now()


@given(steps=st.lists(st.tuples(st.integers(0, 10), st.integers(-7200, 7200)), max_size=20))
async def test_whatever_the_machine_shows_time_stays_near_the_log_s(steps: list[tuple[int, int]]) -> None:
    machine = SettableClock()
    clock, passed_s = SteadyClock(machine), 0

    for waited_s, off_s in steps:
        await machine.advance(waited_s)
        passed_s += waited_s
        machine.off = timedelta(seconds=off_s)
        stored = EPOCH + timedelta(seconds=passed_s)
        clock.heard(stored)
        # A second at most is taken for a trim.
        assert abs(clock.now() - stored) <= timedelta(seconds=1)
