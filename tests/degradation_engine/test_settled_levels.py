from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import pytest

from degradation_engine.domain import Engine
from degradation_engine.domain.level import target
from resilience_contracts import (
    Because,
    Health,
    Level,
    LevelState,
    default_policy_text,
    parse_policy,
    reachable_sums,
    resolve,
)
from tests.degradation_engine.shop import POLICY, Shop, at

NAMES = sorted(POLICY.dependencies)
DOWN_SETS = [frozenset(some) for size in range(5) for some in combinations(NAMES, size)]

EXPECTED = {
    "": Level.OPTIMAL,
    "s3": Level.DEGRADED,
    "redis": Level.DEGRADED,
    "redis s3": Level.DEGRADED,
    "openai": Level.LIMITED,
    "openai s3": Level.LIMITED,
    "openai redis": Level.LIMITED,
    "openai redis s3": Level.LIMITED,
    "postgresql": Level.MINIMAL,
    "postgresql s3": Level.MINIMAL,
    "openai postgresql": Level.MINIMAL,
    "openai postgresql s3": Level.MINIMAL,
    "postgresql redis": Level.EMERGENCY,
    "postgresql redis s3": Level.EMERGENCY,
    "openai postgresql redis": Level.EMERGENCY,
    "openai postgresql redis s3": Level.EMERGENCY,
}


def named(down: frozenset[str]) -> str:
    return " ".join(sorted(down))


def sum_without(down: frozenset[str]) -> int:
    return (100 - sum(POLICY.weights[name] for name in down)) * 100


@pytest.mark.parametrize("down", DOWN_SETS, ids=named)
@pytest.mark.parametrize("current", list(Level))
def test_the_level_called_for_is_the_table_s_whatever_the_level_before(
    down: frozenset[str], current: Level
) -> None:
    called = target(POLICY, sum_without(down), down, current)

    assert called.level is EXPECTED[named(down)]


@pytest.mark.parametrize("down", DOWN_SETS, ids=named)
def test_an_outage_settles_at_the_table_s_level_and_ends_at_optimal(down: frozenset[str]) -> None:
    shop = Shop().run(60)
    assert shop.level is Level.OPTIMAL

    shop.down |= down
    shop.run(45)

    assert shop.level is EXPECTED[named(down)]
    assert {name for name, seen in shop.state.dependencies.items() if seen.health is Health.DOWN} == down
    shop.down.clear()
    shop.run(1000)
    assert shop.level is Level.OPTIMAL


def down_to_down() -> Iterator[tuple[frozenset[str], frozenset[str]]]:
    return ((before, after) for before in DOWN_SETS for after in DOWN_SETS if before != after)


def test_the_settled_level_does_not_depend_on_the_path_taken() -> None:
    for before, after in down_to_down():
        settled = target(POLICY, sum_without(before), before, Level.OPTIMAL).level
        for current in Level:
            came = target(POLICY, sum_without(after), after, max(settled, current)).level
            assert came is EXPECTED[named(after)], (named(before), named(after))


@pytest.mark.parametrize("down", DOWN_SETS, ids=named)
def test_one_more_dependency_down_never_improves_the_level(down: frozenset[str]) -> None:
    for name in set(NAMES) - down:
        for current in Level:
            fewer = target(POLICY, sum_without(down), down, current).level
            more = target(POLICY, sum_without(down | {name}), down | {name}, current).level
            assert more >= fewer


def test_no_feature_turns_on_at_a_worse_level_or_with_one_more_dependency_down() -> None:
    cases = 0
    for down in DOWN_SETS:
        for level in Level:
            for rule in POLICY.features.values():
                state = resolve(rule, level, down).state
                worse = resolve(rule, Level.from_rank(level + 1), down).state
                assert worse.rank >= state.rank
                for name in set(NAMES) - down:
                    assert resolve(rule, level, down | {name}).state.rank >= state.rank
                cases += 1
    assert cases == 16 * 5 * 16


def test_features_in_the_state_follow_level_and_dependencies() -> None:
    shop = Shop().run(60)
    shop.down.add("postgresql")

    shop.run(30)

    features = shop.state.features
    down = frozenset({"postgresql"})
    for key, rule in POLICY.features.items():
        expected = resolve(rule, Level.MINIMAL, down)
        assert (features[key].state, features[key].because) == (expected.state, expected.because)
    assert features["inventory.reservations"].because is Because.DEPENDENCY


def test_no_reachable_sum_lies_in_the_margin_over_a_boundary() -> None:
    margin = POLICY.levels.promotion_margin
    for total in reachable_sums(POLICY.weights):
        for boundary in POLICY.levels.boundaries.values():
            assert not boundary <= total < boundary + margin


FIVE = (
    default_policy_text()
    .replace("weight: 50", "weight: 40")
    .replace("OPTIMAL: 90,", "OPTIMAL: 87.5,")
    .replace("LIMITED: 40,", "LIMITED: 42.5,")
    .replace(
        "\nlevels:",
        """  payments:
    weight: 10
    latency_objective_ms: 500
    interval_s: 5
    deadline_s: 2
    breaker: {window_calls: 20, minimum_calls: 5, failure_rate_percent: 50, slow_call_ms: 1500,
              slow_rate_percent: 80, call_deadline_ms: 3000, open_wait_s: 5, open_wait_cap_s: 30, half_open_permits: 2}

levels:""",
        1,
    )
)


def test_a_fifth_dependency_needs_nothing_but_the_policy() -> None:
    shop = Shop(policy=parse_policy(FIVE)).run(60)
    shop.down.add("payments")

    shop.run(60)

    assert shop.state.dependencies["payments"].health is Health.DOWN
    assert (shop.level, shop.state.score) == (Level.DEGRADED, 90.0)
    assert shop.state.recovery is not None


def test_a_stored_scope_fits_itself_to_a_policy_with_another_dependency() -> None:
    shop = Shop().run(60)
    after = Engine(parse_policy(FIVE))

    after.restore(shop.engine.dump("default"))
    states = [event for event in after.tick(at(61)) if isinstance(event, LevelState)]

    assert states[-1].dependencies["payments"].health is Health.UNKNOWN
    assert states[-1].known_level is Level.OPTIMAL
