from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from degradation_engine.domain.cause import usually
from degradation_engine.domain.outage import Lengths
from degradation_engine.domain.recovery import (
    DEFAULT_PRIOR,
    PRIORS,
    Ongoing,
    Prior,
    Remaining,
    ongoing,
    predictive,
    remaining,
)

MINUTE_MS = 60_000
OUTAGES = 1500


def any_down(away: frozenset[str]) -> bool:
    return bool(away)


def left(lengths: Lengths, age_min: float = 0.0, name: str = "redis") -> Remaining:
    found = remaining({name: ongoing(name, lengths, round(age_min * MINUTE_MS))}, any_down)
    assert found is not None
    return found


DRAWS: dict[str, Callable[[random.Random], float]] = {
    "log-normal": lambda rng: rng.lognormvariate(math.log(12), 1.1),
    "log-normal, short and narrow": lambda rng: rng.lognormvariate(math.log(2), 0.5),
    "Weibull": lambda rng: rng.weibullvariate(20, 0.8),
    "exponential": lambda rng: rng.expovariate(1 / 15),
}


@pytest.mark.parametrize("kind", DRAWS)
def test_the_interval_of_eighty_percent_covers_eighty_percent(kind: str) -> None:
    rng, lengths, covered = random.Random(3), Lengths(), 0
    for _ in range(OUTAGES):
        minutes = DRAWS[kind](rng)
        expected = left(lengths)
        covered += expected.q10_s <= minutes * 60 <= expected.q90_s
        lengths = lengths.add(minutes)

    assert 0.75 <= covered / OUTAGES <= 0.85


@pytest.mark.parametrize("age_min", [2.0, 10.0])
def test_what_remains_of_an_outage_that_has_lasted_is_covered_as_well(age_min: float) -> None:
    rng, lengths, covered, seen = random.Random(11), Lengths(), 0, 0
    for _ in range(OUTAGES):
        minutes = DRAWS["log-normal"](rng)
        if minutes > age_min:
            expected = left(lengths, age_min)
            covered += expected.q10_s <= (minutes - age_min) * 60 <= expected.q90_s
            seen += 1
        lengths = lengths.add(minutes)

    assert 0.75 <= covered / seen <= 0.85


def test_without_history_the_declared_median_is_given() -> None:
    assert left(Lengths()).q50_s == pytest.approx(DEFAULT_PRIOR.median_min * 60, rel=0.01)
    assert left(Lengths(), name="openai").q50_s == pytest.approx(PRIORS["openai"].median_min * 60, rel=0.01)


def test_the_median_grows_as_an_outage_ages() -> None:
    medians = [left(Lengths(), age_min).q50_s for age_min in (5, 30, 120, 600)]

    assert medians == sorted(medians)


def test_history_overrules_the_prior() -> None:
    lengths = Lengths()
    for _ in range(50):
        lengths = lengths.add(60.0)

    assert left(lengths).q50_s == pytest.approx(3600, rel=0.15)
    assert left(lengths).samples == 50


def test_the_posterior_is_the_textbook_s() -> None:
    lengths = Lengths().add(math.e).add(math.e**3)
    found = predictive(lengths, Prior(1.0, 1.0))

    # k0 = 2, a0 = 2, b0 = 1, m0 = 0; x = 1, 3: mean 2, squares 2; bn = 1 + 1 + 2*2*4/(2*4) = 4, an = 3, kn = 4
    assert found.centre == pytest.approx(1.0)
    assert found.df == 6
    assert found.scale == pytest.approx(math.sqrt(4 * 5 / (3 * 4)))


def test_waiting_for_both_takes_longer_than_for_either() -> None:
    down = {"redis": ongoing("redis", Lengths(), 0), "s3": ongoing("s3", Lengths(), 0)}

    both = remaining(down, any_down)
    first = remaining(down, lambda away: len(away) == 2)

    assert both is not None
    assert first is not None
    assert first.q50_s < left(Lengths()).q50_s < both.q50_s


def test_only_the_dependency_that_holds_the_level_down_is_waited_for() -> None:
    down = {"openai": ongoing("openai", Lengths(), 0), "redis": ongoing("redis", Lengths(), 0)}

    found = remaining(down, lambda away: "redis" in away)

    assert found is not None
    assert found.q50_s == pytest.approx(left(Lengths()).q50_s, rel=0.01)


def test_nothing_is_promised_when_their_return_would_not_help() -> None:
    assert remaining({"redis": ongoing("redis", Lengths(), 0)}, lambda _away: True) is None
    assert remaining({}, any_down) is None


def test_many_dependencies_down_are_all_waited_for_without_counting_every_set() -> None:
    down = {f"d{index}": ongoing("d", Lengths(), 0) for index in range(16)}

    found = remaining(down, any_down)

    assert found is not None
    assert found.q50_s > left(Lengths()).q90_s


@settings(max_examples=50)
@given(st.lists(st.floats(0.02, 10_000), max_size=8), st.floats(0, 100_000))
def test_quantiles_are_ordered_and_finite_whatever_the_history(minutes: list[float], age_min: float) -> None:
    lengths = Lengths()
    for length_min in minutes:
        lengths = lengths.add(length_min)

    found = left(lengths, age_min)

    assert 0 < found.q10_s <= found.q50_s <= found.q90_s < math.inf


def test_an_outage_beyond_all_belief_still_has_an_answer() -> None:
    lengths = Lengths()
    for _ in range(150):
        lengths = lengths.add(1.0)

    assert math.isfinite(left(lengths, 1e9).q90_s)


@pytest.mark.parametrize(
    ("low_s", "high_s", "text"),
    [
        (10, 40, "usually back within 10 to 40 seconds"),
        (420, 2400, "usually back within 7 to 40 minutes"),
        (600, 4 * 3600, "usually back within 10 minutes to 4 hours"),
        (0.2, 61, "usually back within 1 to 61 seconds"),
    ],
)
def test_people_read_a_range_in_the_unit_that_fits(low_s: float, high_s: float, text: str) -> None:
    assert usually(Remaining(low_s, 0, high_s, 0)) == text


def test_samples_are_those_of_every_outage_counted() -> None:
    parts = {
        "a": Ongoing(predictive(Lengths(), DEFAULT_PRIOR), 0, 3),
        "b": Ongoing(predictive(Lengths(), DEFAULT_PRIOR), 0, 4),
    }

    found = remaining(parts, any_down)

    assert found is not None
    assert found.samples == 7
