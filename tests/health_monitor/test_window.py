from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from health_monitor.domain import Result, Window
from resilience_contracts import Observation, Outcome

START = datetime(2026, 1, 1, tzinfo=UTC)
OUTCOMES = st.lists(st.sampled_from(list(Outcome)), max_size=40)


def seen(*outcomes: Outcome) -> Window:
    window = Window()
    for second, outcome in enumerate(outcomes):
        at = START + timedelta(seconds=second)
        window = window.add(Result(outcome, 1.0), Observation(outcome=outcome, latency_ms=1.0, at=at))
    return window


@given(OUTCOMES)
def test_keeps_the_newest_twelve_oldest_first(outcomes: list[Outcome]) -> None:
    window = seen(*outcomes)

    assert [observation.outcome for observation in window.recent] == outcomes[-12:]
    assert (window.last.outcome if window.last else None) == (outcomes[-1] if outcomes else None)


@given(OUTCOMES)
def test_probes_that_say_nothing_change_no_count(outcomes: list[Outcome]) -> None:
    recent = outcomes[-12:]
    telling = [outcome for outcome in recent if outcome.counts]

    assert seen(*recent).consecutive_misses == seen(*telling).consecutive_misses


@given(OUTCOMES, st.sampled_from([Outcome.OK, Outcome.SLOW]))
def test_a_hit_ends_the_misses(outcomes: list[Outcome], hit: Outcome) -> None:
    assert seen(*outcomes, hit).consecutive_misses == 0


@pytest.mark.parametrize(
    ("outcomes", "unconfirmed"),
    [
        ((), False),
        ((Outcome.OK,), False),
        ((Outcome.OK, Outcome.TIMEOUT), True),
        ((Outcome.TIMEOUT, Outcome.REFUSED), True),
        ((Outcome.TIMEOUT, Outcome.REFUSED, Outcome.REFUSED), False),
        ((Outcome.TIMEOUT, Outcome.REFUSED, Outcome.REFUSED, Outcome.OK, Outcome.AUTH), True),
        ((Outcome.TIMEOUT, Outcome.RATE_LIMITED), False),
        ((Outcome.TIMEOUT, Outcome.NOT_RUN), False),
        ((Outcome.TIMEOUT, Outcome.NOT_RUN, Outcome.TIMEOUT), True),
    ],
)
def test_a_full_miss_is_unconfirmed_until_the_third(
    outcomes: tuple[Outcome, ...], *, unconfirmed: bool
) -> None:
    assert seen(*outcomes).unconfirmed is unconfirmed


def test_two_rate_limited_probes_count_as_one_miss() -> None:
    assert seen(Outcome.OK, Outcome.RATE_LIMITED, Outcome.RATE_LIMITED).consecutive_misses == 1
