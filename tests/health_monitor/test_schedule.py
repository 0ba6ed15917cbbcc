from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from health_monitor.domain import Result, Schedule, Window, phase_s
from resilience_contracts import Observation, Outcome

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SEEDS = st.integers(0, 2**32)
INTERVALS_S = st.floats(0.05, 3600)
TIMES_S = st.floats(0, 1e7)


def after(*outcomes: Outcome, retry_after_s: float | None = None) -> Window:
    window = Window()
    for outcome in outcomes:
        seen = Observation(outcome=outcome, latency_ms=1.0, at=NOW)
        window = window.add(Result(outcome, 1.0, "", retry_after_s), seen)
    return window


@given(SEEDS, INTERVALS_S, TIMES_S, TIMES_S, st.lists(st.sampled_from(list(Outcome)), max_size=5))
def test_the_next_probe_is_always_ahead_and_at_most_one_interval_and_its_jitter_away(
    seed: int, interval_s: float, origin_s: float, now_s: float, outcomes: list[Outcome]
) -> None:
    due_s = Schedule(interval_s, origin_s).next_due_s(now_s, after(*outcomes), Random(seed))

    assert now_s < due_s <= now_s + 1.1 * interval_s + 1e-6


@given(SEEDS, st.floats(0.5, 600), st.floats(0, 1))
def test_prompt_hits_come_an_interval_apart_within_a_tenth(
    seed: int, interval_s: float, origin_s: float
) -> None:
    random, schedule, due_s = Random(seed), Schedule(interval_s, origin_s), [origin_s]

    for _ in range(50):
        due_s.append(schedule.next_due_s(due_s[-1] + 0.01 * interval_s, after(Outcome.OK), random))

    gaps_s = [later - earlier for earlier, later in pairwise(due_s)]
    assert all(0.9 * interval_s - 1e-6 <= gap <= 1.1 * interval_s + 1e-6 for gap in gaps_s)


@given(SEEDS)
def test_four_dependencies_stay_staggered_for_ever(seed: int) -> None:
    random, interval_s = Random(seed), 5.0
    schedules = [Schedule(interval_s, phase_s(0.0, index, 4, interval_s)) for index in range(4)]
    due_s = [schedule.phase_s for schedule in schedules]

    for _ in range(200):
        due_s = [
            s.next_due_s(d + 0.005, after(Outcome.OK), random) for s, d in zip(schedules, due_s, strict=True)
        ]

    assert max(due_s) - min(due_s) < 0.75 + 0.1 * interval_s


@pytest.mark.parametrize("misses", [1, 2])
@given(seed=SEEDS, now_s=TIMES_S)
def test_an_unconfirmed_miss_is_probed_again_after_about_a_second(
    misses: int, seed: int, now_s: float
) -> None:
    window = after(*[Outcome.REFUSED] * misses)

    due_s = Schedule(60, 0).next_due_s(now_s, window, Random(seed))

    assert due_s <= now_s + 1.1 + 1e-6


@given(SEEDS)
def test_a_confirmed_outage_goes_back_to_the_interval(seed: int) -> None:
    due_s = Schedule(60, 0).next_due_s(2.0, after(*[Outcome.REFUSED] * 3), Random(seed))

    assert due_s >= 60


@given(SEEDS)
def test_three_refusals_are_seen_within_eight_seconds_of_an_outage_at_five_second_intervals(
    seed: int,
) -> None:
    random, schedule, outage_s = Random(seed), Schedule(5, 0), 0.001
    window, probe_s = after(Outcome.OK), schedule.next_due_s(outage_s, after(Outcome.OK), random)

    for misses in (1, 2):
        window = after(Outcome.OK, *[Outcome.REFUSED] * misses)
        probe_s = schedule.next_due_s(probe_s, window, random)

    assert probe_s - outage_s <= 8


@given(SEEDS, st.floats(0, 300), TIMES_S)
def test_nothing_is_sent_before_retry_after(seed: int, retry_after_s: float, now_s: float) -> None:
    window = after(Outcome.RATE_LIMITED, retry_after_s=retry_after_s)

    due_s = Schedule(10, 0).next_due_s(now_s, window, Random(seed))

    assert due_s >= now_s + retry_after_s


@given(st.integers(1, 16), st.floats(0.05, 60))
def test_phases_are_distinct_and_within_a_second(count: int, shortest_s: float) -> None:
    phases_s = [phase_s(100.0, index, count, shortest_s) for index in range(count)]

    assert len(set(phases_s)) == count
    assert all(100.0 <= phase < 101.0 for phase in phases_s)
