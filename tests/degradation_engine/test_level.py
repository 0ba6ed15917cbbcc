from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from degradation_engine.domain.level import level_of_score, target
from resilience_contracts import DecidedBy, Level
from tests.degradation_engine.shop import POLICY

levels = st.sampled_from(list(Level))
points = st.integers(0, 10_000)
down_sets = st.sets(st.sampled_from(sorted(POLICY.dependencies)))


@pytest.mark.parametrize(
    ("boundary", "level", "below"),
    [
        (9000, Level.OPTIMAL, Level.DEGRADED),
        (6750, Level.DEGRADED, Level.LIMITED),
        (4000, Level.LIMITED, Level.MINIMAL),
        (1750, Level.MINIMAL, Level.EMERGENCY),
    ],
)
def test_boundaries_hold_to_the_hundredth(boundary: int, level: Level, below: Level) -> None:
    assert level_of_score(POLICY, boundary, Level.OPTIMAL) is level
    assert level_of_score(POLICY, boundary - 1, Level.OPTIMAL) is below
    assert level_of_score(POLICY, boundary + 199, below) is below
    assert level_of_score(POLICY, boundary + 200, below) is level


@given(points, points, levels)
def test_a_better_score_never_gives_a_worse_level(one: int, other: int, current: Level) -> None:
    low, high = sorted((one, other))

    assert level_of_score(POLICY, high, current) <= level_of_score(POLICY, low, current)


@given(points, down_sets, levels, st.sampled_from(sorted(POLICY.dependencies)))
def test_one_more_dependency_down_never_gives_a_better_level(
    score: int, down: set[str], current: Level, more: str
) -> None:
    called = target(POLICY, score, down, current)

    assert target(POLICY, score, down | {more}, current).level >= called.level


@given(points, levels)
def test_hysteresis_never_asks_for_a_level_worse_than_the_one_without(score: int, current: Level) -> None:
    plain = level_of_score(POLICY, score, Level.OPTIMAL)
    held = level_of_score(POLICY, score, current)

    assert held in {plain, Level.from_rank(plain + 1)}
    assert held == plain or plain < current


def test_a_floor_wins_over_the_score_and_says_so() -> None:
    called = target(POLICY, 7000, {"postgresql"}, Level.OPTIMAL)

    assert (called.level, called.decided_by, called.immediate) == (
        Level.MINIMAL,
        DecidedBy.FLOOR,
        Level.MINIMAL,
    )


def test_a_ceiling_bounds_what_the_score_asks_for_and_says_so() -> None:
    called = target(POLICY, 3000, {"openai", "redis", "s3"}, Level.OPTIMAL)

    assert (called.level, called.decided_by) == (Level.LIMITED, DecidedBy.CEILING)


def test_losing_the_assistant_demands_nothing_at_once() -> None:
    assert target(POLICY, 5000, {"openai"}, Level.OPTIMAL).immediate is Level.OPTIMAL
