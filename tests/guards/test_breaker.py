from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator

import pytest

from resilience_guards import (
    Advice,
    BreakerEvent,
    BreakerSettings,
    CallNotPermitted,
    Cause,
    CircuitBreaker,
    EventKind,
    IllegalMove,
    State,
)
from tests.guards.calls import ManualTime, breaker, fail, fetch, hang, opened, refuse, state_of


async def test_trips_refuses_probes_and_closes() -> None:
    clock = ManualTime()
    guarded = breaker(clock)

    await fail(guarded, 2)

    with pytest.raises(CallNotPermitted) as refusal:
        await guarded.call(fetch)
    assert (refusal.value.state, refusal.value.retry_after_s) == (State.OPEN, 1.0)
    assert str(refusal.value) == "circuit breaker 'db' is OPEN; ask again in 1.000 s"
    clock.advance(1.001)
    assert await guarded.call(fetch) == 1
    assert state_of(guarded) is State.CLOSED


async def test_the_original_error_reaches_the_caller_even_when_it_trips() -> None:
    guarded = breaker(ManualTime(), minimum_calls=1)
    error = ConnectionResetError("by peer")

    async def reset() -> None:
        raise error

    with pytest.raises(ConnectionResetError) as raised:
        await guarded.call(reset)

    assert raised.value is error
    assert state_of(guarded) is State.OPEN


async def test_each_way_of_guarding_counts_one_call() -> None:
    guarded = breaker(ManualTime(), minimum_calls=10)

    @guarded
    async def numbers(limit: int) -> AsyncIterator[int]:
        for number in range(limit):
            yield number

    @guarded
    async def one() -> int:
        return 1

    async with guarded:
        assert await one() == 1
    async with guarded.guard():
        pass
    assert [number async for number in numbers(3)] == [0, 1, 2]
    guarded.succeeded(guarded.acquire())

    assert guarded.snapshot().calls == 5
    assert one.__name__ == "one"


async def test_blocks_of_many_tasks_and_within_one_another_are_kept_apart() -> None:
    guarded, other = breaker(ManualTime(), minimum_calls=10), breaker(ManualTime(), minimum_calls=10)

    async def block(fails: bool) -> None:
        async with guarded, other, guarded:
            await asyncio.sleep(0)
            if fails:
                raise OSError

    await asyncio.gather(*(block(number % 2 == 0) for number in range(4)), return_exceptions=True)

    assert (guarded.snapshot().calls, guarded.snapshot().failed) == (8, 4)
    assert (other.snapshot().calls, other.snapshot().failed) == (4, 2)


async def test_bad_results_fail() -> None:
    guarded = breaker(ManualTime(), is_bad_result=lambda result: result == 1)

    for _ in range(2):
        assert await guarded.call(fetch) == 1

    assert state_of(guarded) is State.OPEN


async def test_slow_calls_open() -> None:
    clock = ManualTime()
    guarded = breaker(clock, slow_call_s=0.1, slow_rate=0.5)

    async def slow() -> None:
        clock.advance(0.11)

    await guarded.call(fetch)
    await guarded.call(slow)

    assert state_of(guarded) is State.OPEN
    assert guarded.snapshot().slow_rate == 0.5


async def test_events_tell_previous_state_and_cause_and_a_broken_listener_harms_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = ManualTime()
    guarded = breaker(clock)
    heard: list[BreakerEvent] = []

    def broken(event: BreakerEvent) -> None:
        raise RuntimeError(event.kind)

    guarded.on_event(broken)
    guarded.on_event(heard.append)
    await fail(guarded, 2)
    clock.advance(1.1)
    await guarded.call(fetch)
    guarded.force_open()
    guarded.reset()

    assert [(event.kind, event.previous, event.state, event.cause) for event in heard] == [
        (EventKind.FAILURE_RATE_EXCEEDED, State.CLOSED, State.CLOSED, Cause.FAILURE_RATE),
        (EventKind.TRANSITION, State.CLOSED, State.OPEN, Cause.FAILURE_RATE),
        (EventKind.TRANSITION, State.OPEN, State.HALF_OPEN, Cause.WAIT_OVER),
        (EventKind.TRANSITION, State.HALF_OPEN, State.CLOSED, Cause.PROBES_PASSED),
        (EventKind.TRANSITION, State.CLOSED, State.FORCED_OPEN, Cause.OPERATOR),
        (EventKind.TRANSITION, State.FORCED_OPEN, State.CLOSED, Cause.OPERATOR),
        (EventKind.RESET, State.FORCED_OPEN, State.CLOSED, Cause.OPERATOR),
    ]
    assert sum(record.levelno == logging.ERROR for record in caplog.records) == 7


async def test_a_listener_may_move_the_breaker() -> None:
    guarded = breaker(ManualTime())

    def release(event: BreakerEvent) -> None:
        if event.state is State.OPEN:
            guarded.disable()

    guarded.on_event(release)
    await fail(guarded, 2)

    assert state_of(guarded) is State.DISABLED


async def test_asking_consumes_nothing() -> None:
    guarded = await opened(ManualTime())

    assert all(guarded.is_call_permitted() for _ in range(100))
    assert state_of(guarded) is State.OPEN
    assert guarded.snapshot() == guarded.snapshot()


async def test_advice_shortens_or_stretches_a_wait_and_moves_nothing_alone() -> None:
    clock, advice = ManualTime(), [Advice.SOONER]
    guarded = CircuitBreaker("db", breaker(clock).settings, clock, adviser=lambda: advice[0])
    await fail(guarded, 2)

    assert not guarded.is_call_permitted()
    clock.advance(0.26)
    assert guarded.is_call_permitted()
    assert state_of(guarded) is State.OPEN
    advice[0] = Advice.LATER
    clock.advance(1.7)
    assert not guarded.is_call_permitted()
    clock.advance(0.1)
    assert guarded.is_call_permitted()


async def test_a_stream_is_judged_by_its_longest_wait_and_keeps_its_place() -> None:
    clock = ManualTime()
    guarded = await opened(clock, slow_call_s=1, slow_rate=0.5, permit_lease_s=2)

    async def words() -> AsyncIterator[str]:
        for word in ("a", "b", "c"):
            clock.advance(0.9)
            yield word

    async for _ in guarded.stream(words):
        clock.advance(1.5)
        assert not guarded.is_call_permitted()

    assert state_of(guarded) is State.CLOSED


async def test_a_cancelled_stream_frees_its_place_and_closes_its_source() -> None:
    guarded = await opened(ManualTime())
    closed = False

    async def endless() -> AsyncIterator[int]:
        nonlocal closed
        try:
            yield 1
            await hang()
        finally:
            closed = True

    async def read() -> None:
        async for _ in guarded.stream(endless):
            pass

    reading = asyncio.create_task(read())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading

    assert closed
    assert guarded.snapshot().permits_free == 1


async def test_a_stream_that_hangs_fails_at_the_deadline() -> None:
    guarded = breaker(ManualTime(), minimum_calls=1, call_deadline_s=0.01)

    async def endless() -> AsyncIterator[int]:
        yield 1
        await hang()

    with pytest.raises(TimeoutError):
        async for _ in guarded.stream(endless):
            pass

    assert state_of(guarded) is State.OPEN
    assert guarded.snapshot().failed == 1


def test_moves_by_hand_are_checked() -> None:
    guarded = breaker(ManualTime())
    guarded.measure_only()

    with pytest.raises(IllegalMove, match="cannot be moved from METRICS_ONLY to OPEN"):
        guarded.move(State.OPEN)


async def test_forced_open_says_to_ask_again_at_the_cap() -> None:
    guarded = breaker(ManualTime())
    guarded.force_open()

    with pytest.raises(CallNotPermitted) as refusal:
        await guarded.call(refuse)

    assert refusal.value.retry_after_s == 60.0


def test_all_wrong_settings_are_named_at_once() -> None:
    with pytest.raises(ValueError, match="minimum_calls must be at least 1; failure_rate must be above 0"):
        BreakerSettings(minimum_calls=0, failure_rate=0)


async def test_refusals_keep_nothing() -> None:
    guarded = breaker(ManualTime())
    await fail(guarded, 2)
    gc.collect()
    before = len(gc.get_objects())

    for _ in range(1000):
        with pytest.raises(CallNotPermitted):
            guarded.acquire()
    gc.collect()

    assert len(gc.get_objects()) - before < 50
