"""Bugs that were reported against other breakers; the number is the row of the research's table."""

from __future__ import annotations

import asyncio

import pytest

from resilience_guards import (
    BreakerEvent,
    Bulkhead,
    BulkheadFull,
    CallNotPermitted,
    EventKind,
    State,
)
from tests.guards.calls import ManualTime, breaker, fail, fetch, hang, opened, state_of


async def test_1_ignored_probe_gives_its_place_back() -> None:
    clock = ManualTime()
    guarded = await opened(clock, is_ignored=lambda error: isinstance(error, KeyError))

    async def missing() -> None:
        raise KeyError

    with pytest.raises(KeyError):
        await guarded.call(missing)

    assert state_of(guarded) is State.HALF_OPEN
    assert await guarded.call(fetch) == 1
    assert state_of(guarded) is State.CLOSED


async def test_2_and_25_a_probe_that_never_reports_loses_its_place() -> None:
    clock = ManualTime()
    guarded = await opened(clock, permit_lease_s=30)
    lost = guarded.acquire()

    assert not guarded.is_call_permitted()
    clock.advance(30)
    assert await guarded.call(fetch) == 1
    guarded.failed(lost)

    assert state_of(guarded) is State.CLOSED
    assert (guarded.snapshot().expired_total, guarded.snapshot().late_total) == (1, 1)
    assert guarded.snapshot().calls == 0


@pytest.mark.parametrize("row", [4, 17, 26, 28])
async def test_4_17_26_28_no_more_probes_at_once_than_permits(row: int) -> None:
    clock = ManualTime()
    guarded = await opened(clock, half_open_permits=2, minimum_calls=2)
    release, reached = asyncio.Event(), 0

    async def slow() -> None:
        nonlocal reached
        reached += 1
        await release.wait()

    tasks = [asyncio.create_task(guarded.call(slow)) for _ in range(50)]
    await asyncio.sleep(0)
    release.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert reached == 2
    assert sum(isinstance(result, CallNotPermitted) for result in results) == 48
    assert state_of(guarded) is State.CLOSED
    assert await guarded.call(fetch) == 1


async def test_5_timed_and_called_move_at_the_same_moment_are_one_move() -> None:
    clock = ManualTime()
    guarded = breaker(clock, half_open_on_time=True)
    heard: list[BreakerEvent] = []
    guarded.on_event(heard.append)
    await fail(guarded, 2)

    clock.advance(1.0)
    permit = guarded.acquire()
    guarded.poll()

    moves = [(event.previous, event.state) for event in heard if event.kind is EventKind.TRANSITION]
    assert moves == [(State.CLOSED, State.OPEN), (State.OPEN, State.HALF_OPEN)]
    guarded.released(permit)


async def test_6_reset_ends_the_wait_of_the_old_opening() -> None:
    clock = ManualTime()
    guarded = breaker(clock, half_open_on_time=True, open_wait_s=60, open_wait_cap_s=60)
    await fail(guarded, 2)
    clock.advance(10)
    guarded.reset()
    clock.advance(10)
    await fail(guarded, 2)

    clock.advance(40)

    assert guarded.poll() is State.OPEN
    clock.advance(20)
    assert guarded.poll() is State.HALF_OPEN


async def test_8_own_timeout_fails_outer_cancellation_and_outer_timeout_do_not() -> None:
    guarded = breaker(ManualTime(), minimum_calls=4, call_deadline_s=0.01)
    patient = breaker(ManualTime(), minimum_calls=4)

    with pytest.raises(TimeoutError):
        await guarded.call(hang)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await patient.call(hang)

    assert (guarded.snapshot().calls, guarded.snapshot().failed) == (1, 1)
    assert patient.snapshot().calls == 0


async def test_8_a_deadline_fails_whatever_the_classifier_says() -> None:
    guarded = breaker(ManualTime(), call_deadline_s=0.01, failure_rate=1.0, is_failure=lambda _: False)

    with pytest.raises(TimeoutError):
        await guarded.call(hang)
    with pytest.raises(TimeoutError):
        async with guarded:
            await hang()

    assert state_of(guarded) is State.OPEN


async def test_9_a_time_window_trips_at_the_minimum_not_at_its_end() -> None:
    clock = ManualTime()
    guarded = breaker(clock, window_s=20, minimum_calls=5)

    await fail(guarded, 4)
    clock.advance(2)
    await fail(guarded, 1)

    assert state_of(guarded) is State.OPEN


async def test_10_and_12_classification_is_the_same_in_half_open() -> None:
    clock = ManualTime()
    guarded = await opened(clock, is_failure=lambda error: isinstance(error, OSError))

    async def refused_by_a_rule() -> None:
        raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        await guarded.call(refused_by_a_rule)

    assert state_of(guarded) is State.CLOSED


async def test_11_late_failures_neither_open_again_nor_admit_more_probes() -> None:
    clock = ManualTime()
    guarded = breaker(clock)
    heard: list[BreakerEvent] = []
    guarded.on_event(heard.append)
    late = [guarded.acquire() for _ in range(3)]
    await fail(guarded, 2)

    clock.advance(1.1)
    probe = guarded.acquire()
    for permit in late:
        guarded.failed(permit)

    assert state_of(guarded) is State.HALF_OPEN
    assert not guarded.is_call_permitted()
    guarded.succeeded(probe)
    assert [event.state for event in heard if event.kind is EventKind.TRANSITION] == [
        State.OPEN,
        State.HALF_OPEN,
        State.CLOSED,
    ]


async def test_13_cancelling_another_call_does_not_end_the_probe() -> None:
    clock = ManualTime()
    guarded = breaker(clock)
    other = asyncio.create_task(guarded.call(hang))
    await asyncio.sleep(0)
    await fail(guarded, 2)
    clock.advance(1.1)
    probe = guarded.acquire()

    other.cancel()
    await asyncio.gather(other, return_exceptions=True)

    assert state_of(guarded) is State.HALF_OPEN
    assert not guarded.is_call_permitted()
    guarded.succeeded(probe)
    assert state_of(guarded) is State.CLOSED


async def test_14_a_refusal_behind_the_breaker_gives_the_place_back() -> None:
    clock = ManualTime()
    guarded = await opened(clock, is_ignored=lambda error: isinstance(error, BulkheadFull))
    bulkhead = Bulkhead(1)

    async def through() -> int:
        async with bulkhead:
            return 1

    async with bulkhead:
        with pytest.raises(BulkheadFull):
            await guarded.call(through)

    assert state_of(guarded) is State.HALF_OPEN
    assert await guarded.call(through) == 1


async def test_16_half_open_decides_whatever_the_window_held() -> None:
    clock = ManualTime()
    guarded = breaker(clock, window_s=3, minimum_calls=10)
    await fail(guarded, 10)
    clock.advance(1000)

    await fail(guarded, 1)

    assert state_of(guarded) is State.OPEN
