from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from degradation_engine.domain import score
from resilience_contracts import BreakerReport, BreakerState, Health
from tests.degradation_engine.shop import POLICY

shares = st.floats(0, 1, allow_nan=False)


@pytest.mark.parametrize(
    ("misses", "expected"), [(0, 1), (0.5, 1), (1, 1), (1.5, 0.75), (2, 0.5), (2.5, 0.25), (3, 0), (12, 0)]
)
def test_misses_in_a_row(misses: float, expected: float) -> None:
    assert score.consecutive(misses) == expected


@pytest.mark.parametrize(("misses", "expected"), [(0, 1), (1, 1), (2, 10 / 11), (6.5, 0.5), (12, 0)])
def test_misses_in_the_window(misses: float, expected: float) -> None:
    assert score.window(misses) == pytest.approx(expected)


def test_latency_within_the_objective_costs_nothing_and_three_times_it_costs_all() -> None:
    assert score.latency([100, 50], 100) == 1
    assert score.latency([300, 300], 100) == 0
    assert score.latency([200], 100) == 0.5
    assert score.latency([], 100) == 1


def test_latency_is_an_average_that_forgets() -> None:
    assert score.latency([100, 300], 100) == pytest.approx(0.8)
    assert score.latency([300, 100], 100) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("state", "failure_rate", "expected"),
    [
        (BreakerState.CLOSED, None, 1.0),
        (BreakerState.CLOSED, 0.3, 0.7),
        (BreakerState.HALF_OPEN, None, 0.5),
        (BreakerState.OPEN, 0.9, 0.25),
        (BreakerState.FORCED_OPEN, None, 0.0),
        (BreakerState.DISABLED, 0.9, None),
        (BreakerState.METRICS_ONLY, 0.9, None),
    ],
)
def test_what_a_breaker_says_of_traffic(
    state: BreakerState, failure_rate: float | None, expected: float | None
) -> None:
    report = BreakerReport(state=state, failure_rate=failure_rate, interval_s=5)

    assert score.traffic(report) == (None if expected is None else pytest.approx(expected))


def test_only_the_misses_since_the_last_hit_are_a_run() -> None:
    assert score.trailing_misses([1, 0, 0.5, 1]) == 1.5
    assert score.trailing_misses([1, 1, 0]) == 0
    assert score.trailing_misses([]) == 0


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        (0, Health.DOWN),
        (2499, Health.DOWN),
        (2500, Health.IMPAIRED),
        (7999, Health.IMPAIRED),
        (8000, Health.UP),
        (10_000, Health.UP),
    ],
)
def test_health_changes_exactly_at_its_hundredths(points: int, expected: Health) -> None:
    assert score.health_of(points) is expected


@given(shares, shares, shares)
def test_a_score_is_whole_hundredths_within_its_bounds(
    presence: float, latency: float, traffic: float
) -> None:
    points = score.dependency_score(presence, latency, traffic)

    assert isinstance(points, int)
    assert 0 <= points <= 10_000
    assert points <= round(10_000 * min(presence, traffic))


@given(shares, shares, shares, shares)
def test_a_score_never_falls_when_one_part_improves(
    presence: float, latency: float, traffic: float, better: float
) -> None:
    points = score.dependency_score(presence, latency, traffic)

    assert score.dependency_score(max(presence, better), latency, traffic) >= points
    assert score.dependency_score(presence, max(latency, better), traffic) >= points
    assert score.dependency_score(presence, latency, max(traffic, better)) >= points


def test_the_overall_score_of_fully_down_dependencies_is_exact() -> None:
    full = dict.fromkeys(POLICY.weights, 10_000)

    assert score.overall(POLICY.weights, full) == 10_000
    assert score.overall(POLICY.weights, full | {"postgresql": 0}) == 7000
    assert score.overall(POLICY.weights, dict.fromkeys(POLICY.weights, 0)) == 0


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=9))
def test_the_median_needs_half_of_the_observers_to_be_bad(scores: list[int]) -> None:
    chosen = score.middle(scores, lambda points: points)

    assert sum(points <= chosen for points in scores) > len(scores) / 2
    assert sum(points >= chosen for points in scores) >= len(scores) / 2


def test_of_two_observers_the_better_one_is_believed() -> None:
    assert score.middle([0, 10_000], lambda points: points) == 10_000
