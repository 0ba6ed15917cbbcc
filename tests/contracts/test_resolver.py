from __future__ import annotations

from itertools import chain, combinations
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience_contracts import (
    Because,
    FeatureState,
    Level,
    Recovery,
    default_policy,
    resolve,
    resolve_unknown,
    retry_after_s,
)

POLICY = default_policy()
NAMES = sorted(POLICY.dependencies)
DOWN_SETS = [frozenset(s) for s in chain.from_iterable(combinations(NAMES, n) for n in range(5))]
EVERYTHING = [(key, level, down) for key in POLICY.features for level in Level for down in DOWN_SETS]


def state(key: str, level: Level, down: frozenset[str]) -> FeatureState:
    return resolve(POLICY.features[key], level, down).state


def test_a_worse_level_never_turns_a_feature_on() -> None:
    assert len(EVERYTHING) == 16 * 5 * 16
    for key, level, down in EVERYTHING:
        for worse in Level:
            if worse > level:
                assert state(key, worse, down).rank >= state(key, level, down).rank, (key, level, worse, down)


def test_one_more_dependency_down_never_turns_a_feature_on() -> None:
    for key, level, down in EVERYTHING:
        for other in NAMES:
            assert state(key, level, down | {other}).rank >= state(key, level, down).rank, (key, level, down)


def test_a_missing_hard_dependency_disables_at_every_level() -> None:
    for key, level, down in EVERYTHING:
        if POLICY.features[key].hard & down:
            assert state(key, level, down) is FeatureState.DISABLED


def test_without_openai_stock_is_fully_served() -> None:
    down = frozenset({"openai"})

    for key in ("inventory.availability", "inventory.reservations", "inventory.adjustments"):
        assert state(key, Level.LIMITED, down) is FeatureState.ENABLED


def test_without_s3_exactly_the_features_that_name_it_change() -> None:
    down = frozenset({"s3"})

    changed = {
        key
        for key in POLICY.features
        if state(key, Level.DEGRADED, down) is not state(key, Level.DEGRADED, frozenset())
    }

    assert changed == {key for key, rule in POLICY.features.items() if "s3" in rule.hard | rule.soft}


def test_the_answer_names_the_dependency_before_the_level() -> None:
    answer = resolve(POLICY.features["inventory.reservations"], Level.EMERGENCY, {"postgresql", "redis"})

    assert answer.because is Because.DEPENDENCY
    assert answer.detail == "postgresql DOWN"


def test_the_answer_names_the_level_where_it_is_stricter() -> None:
    answer = resolve(POLICY.features["analytics.dashboard"], Level.MINIMAL, {"postgresql"})

    assert (answer.state, answer.because) == (FeatureState.DISABLED, Because.LEVEL)


def test_a_fallback_says_what_it_means() -> None:
    answer = resolve(POLICY.features["performance.semantic_search"], Level.DEGRADED, set())

    assert answer.detail == "level DEGRADED: lexical search"


def test_an_unknown_level_gives_the_declared_state() -> None:
    answer = resolve_unknown(POLICY.features["analytics.reports"])

    assert (answer.state, answer.because) == (FeatureState.DISABLED, Because.UNKNOWN)


@given(
    low=st.floats(0, 1e6),
    width=st.floats(0, 1e6),
    seed=st.integers(),
)
def test_retry_after_lies_between_the_quantiles_within_its_clamp(low: float, width: float, seed: int) -> None:
    recovery = Recovery(q10_s=low, q50_s=low + width, q90_s=low + 2 * width, method="test", samples=3)

    drawn = retry_after_s(recovery, Random(seed))

    assert 1 <= drawn <= 300
    assert drawn in (1, 300) or low - 1 <= drawn <= low + width + 1


def test_without_a_prediction_callers_are_still_spread() -> None:
    drawn = {retry_after_s(None, Random(seed)) for seed in range(200)}

    assert drawn <= set(range(15, 46))
    assert len(drawn) > 20


def test_quantiles_out_of_order_do_not_break_a_refusal() -> None:
    recovery = Recovery(q10_s=50, q50_s=10, q90_s=1, method="test", samples=0)

    assert retry_after_s(recovery, Random(1)) == pytest.approx(50)
