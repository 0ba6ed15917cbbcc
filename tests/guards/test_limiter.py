from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience_guards import ConcurrencyLimiter, LimiterSettings, LimitReached, Slot
from tests.guards.calls import ManualTime

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["acquire", "good", "drop", "release"]), st.sampled_from([0.0, 0.01, 0.3, 5.0])
    ),
    max_size=200,
)


def take(limiter: ConcurrencyLimiter) -> list[Slot]:
    slots = []
    while True:
        try:
            slots.append(limiter.acquire())
        except LimitReached:
            return slots


def serve(
    limiter: ConcurrencyLimiter, clock: ManualTime, workers: int, service_s: float, for_s: float
) -> None:
    """Keep a server of so many workers under more load than it can bear."""
    queue = take(limiter)
    until_s = clock() + for_s
    while clock() < until_s:
        clock.advance(service_s)
        done, queue = queue[:workers], queue[workers:]
        for slot in done:
            limiter.succeeded(slot)
        queue += take(limiter)
    for slot in queue:
        limiter.released(slot)


@given(
    steps=STEPS,
    lowest=st.integers(1, 5),
    highest=st.integers(5, 30),
)
def test_the_limit_stays_within_bounds_and_calls_under_way_are_counted(
    steps: list[tuple[str, float]], lowest: int, highest: int
) -> None:
    clock = ManualTime()
    limiter = ConcurrencyLimiter(LimiterSettings(initial=5, lowest=lowest, highest=highest), clock)
    held: list[Slot] = []
    reports = {"good": limiter.succeeded, "drop": limiter.dropped, "release": limiter.released}

    for step, pause_s in steps:
        clock.advance(pause_s)
        if step == "acquire":
            below = limiter.in_flight < limiter.limit
            try:
                held.append(limiter.acquire())
            except LimitReached:
                assert not below
            else:
                assert below
        elif held:
            slot = held.pop(0)
            reports[step](slot)
            reports[step](slot)

        assert lowest <= limiter.limit <= highest
        assert limiter.in_flight == limiter.in_flight_of(0) == len(held)


@pytest.mark.parametrize("initial", [1, 20, 200])
def test_it_finds_the_concurrency_of_the_server(initial: int) -> None:
    clock = ManualTime()
    limiter = ConcurrencyLimiter(LimiterSettings(initial=initial, queueing_s=0.010), clock)

    serve(limiter, clock, workers=10, service_s=0.020, for_s=60)

    assert 10 <= limiter.limit <= 20


def test_calls_that_all_end_in_the_same_timeout_shrink_it_although_they_look_stable() -> None:
    clock = ManualTime()
    limiter = ConcurrencyLimiter(LimiterSettings(initial=100), clock)

    for _ in range(60):
        slots = take(limiter)
        clock.advance(1.0)
        for slot in slots:
            limiter.dropped(slot)

    assert limiter.limit == 1
    assert limiter.typical_s == 0


def test_it_recovers_when_the_dependency_does() -> None:
    clock = ManualTime()
    limiter = ConcurrencyLimiter(LimiterSettings(initial=10), clock)
    for _ in range(60):
        for slot in take(limiter):
            clock.advance(0.1)
            limiter.dropped(slot)

    serve(limiter, clock, workers=10, service_s=0.020, for_s=30)

    assert limiter.limit >= 10


def test_a_quiet_time_does_not_raise_it() -> None:
    clock = ManualTime()
    limiter = ConcurrencyLimiter(LimiterSettings(initial=10), clock)

    for _ in range(1000):
        slot = limiter.acquire()
        clock.advance(0.001)
        limiter.succeeded(slot)

    assert limiter.limit == 10


async def test_a_block_reports_how_it_ended() -> None:
    limiter = ConcurrencyLimiter(LimiterSettings(initial=10))

    async with limiter.slot():
        assert limiter.in_flight == 1
    with pytest.raises(TimeoutError):
        async with limiter.slot():
            raise TimeoutError
    after_a_drop = limiter.limit
    with pytest.raises(asyncio.CancelledError):
        async with limiter.slot():
            raise asyncio.CancelledError

    assert (limiter.in_flight, after_a_drop, limiter.limit) == (0, 9, 9)
