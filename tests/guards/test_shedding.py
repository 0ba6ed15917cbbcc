from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilience_guards import ConcurrencyLimiter, LimiterSettings, Shed, Shedder, Slot
from tests.guards.calls import ManualTime

CLASSES = 4
STEPS = st.lists(
    st.tuples(st.sampled_from([0, 1, 2, 3, "good", "drop"]), st.sampled_from([0.0, 0.001, 0.02, 0.5])),
    max_size=150,
)


@settings(deadline=None)
@given(steps=STEPS, limit=st.integers(1, 12))
def test_a_class_is_never_refused_where_a_less_important_one_is_admitted(
    steps: list[tuple[int | str, float]], limit: int
) -> None:
    clock = ManualTime()
    limiter = ConcurrencyLimiter(LimiterSettings(initial=limit, highest=12), clock)
    shedder = Shedder(limiter, CLASSES, clock=clock)
    held: list[Slot] = []

    for step, pause_s in steps:
        clock.advance(pause_s)
        if isinstance(step, int):
            try:
                held.append(shedder.acquire(step))
            except Shed:
                assert not any(shedder.has_room(below) for below in range(step, CLASSES))
        elif held:
            (limiter.succeeded if step == "good" else limiter.dropped)(held.pop(0))

        room = [shedder.has_room(importance) for importance in range(CLASSES)]
        assert room == sorted(room, reverse=True)
        assert limiter.in_flight == len(held)


def test_alone_the_least_important_class_has_the_whole_limit() -> None:
    clock = ManualTime()
    limiter = ConcurrencyLimiter(LimiterSettings(initial=8), clock)
    shedder = Shedder(limiter, CLASSES, clock=clock)

    for _ in range(8):
        shedder.acquire(3)

    with pytest.raises(Shed, match="There is no room for a call of this class"):
        shedder.acquire(3)
    assert limiter.in_flight == 8


def test_less_important_calls_under_way_keep_no_important_one_out() -> None:
    clock = ManualTime()
    limiter = ConcurrencyLimiter(LimiterSettings(initial=8), clock)
    shedder = Shedder(limiter, CLASSES, clock=clock)
    for _ in range(8):
        shedder.acquire(3)

    important = []
    while shedder.has_room(0):
        important.append(shedder.acquire(0))

    assert 8 <= len(important) <= 8 + 3 * 8**0.5 + 1
    for slot in important:
        limiter.released(slot)
    assert not shedder.has_room(3)


def test_room_is_left_for_important_calls_that_are_expected() -> None:
    clock = ManualTime()
    limiter = ConcurrencyLimiter(LimiterSettings(initial=10), clock)
    shedder = Shedder(limiter, CLASSES, clock=clock)
    for _ in range(200):
        slot = shedder.acquire(0)
        clock.advance(0.02)
        limiter.succeeded(slot)

    while shedder.has_room(3):
        shedder.acquire(3)

    assert 0 < limiter.in_flight < 10
    assert shedder.has_room(0)


def test_the_room_is_given_up_when_they_stay_away() -> None:
    clock = ManualTime()
    limiter = ConcurrencyLimiter(LimiterSettings(initial=10), clock)
    shedder = Shedder(limiter, CLASSES, clock=clock)
    for _ in range(200):
        slot = shedder.acquire(0)
        clock.advance(0.02)
        limiter.succeeded(slot)

    clock.advance(60)

    assert [shedder.acquire(3).kind for _ in range(9)] == [3] * 9
