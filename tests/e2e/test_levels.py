"""Each level by itself, held by an operator while nothing is down, and each set of several dependencies that are down.

What the feature table says of it is what happens. The sets follow one another by single faults and returns, without a
way back to OPTIMAL in between; those of one dependency, and PostgreSQL with Redis, are in test_outages.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from resilience_contracts import FeatureState, Level, resolve
from tests.e2e.behaviour import check_behaviour, prepare
from tests.e2e.quick import quick_policy
from tests.e2e.shop import Shop, until
from tests.e2e.test_outages import both_at
from tests.fixtures.stack import RunningStack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

POLICY = quick_policy()
SETS = (
    ("redis+s3", Level.DEGRADED),
    ("openai+redis+s3", Level.LIMITED),
    ("openai+redis", Level.LIMITED),
    ("openai+postgresql+redis", Level.EMERGENCY),
    ("openai+postgresql+redis+s3", Level.EMERGENCY),
    ("postgresql+redis+s3", Level.EMERGENCY),
    ("postgresql+s3", Level.MINIMAL),
    ("openai+postgresql+s3", Level.MINIMAL),
    ("openai+postgresql", Level.MINIMAL),
    ("openai+s3", Level.LIMITED),
)


@pytest.fixture(scope="module")
def shop(shop: Shop) -> Shop:
    """Well, and with everything on its shelves that a feature needs."""
    both_at(shop, Level.OPTIMAL)
    prepare(shop)
    return shop


@pytest.mark.parametrize("level", list(Level), ids=lambda level: level.name)
def test_every_feature_behaves_as_the_table_says_at_a_level(shop: Shop, level: Level) -> None:
    shop.hold_level(level)
    try:
        both_at(shop, level)

        check_behaviour(shop, (), level, POLICY)
    finally:
        shop.end_hold("level")


@pytest.fixture(scope="module")
def stopped(quick_stack: RunningStack, shop: Shop) -> Iterator[set[str]]:
    """What is stopped now; all of it is back after the last set."""
    down: set[str] = set()
    yield down
    for part in down:
        quick_stack.restore(part)
    both_at(shop, Level.OPTIMAL)


@pytest.mark.parametrize(("names", "level"), SETS, ids=[names for names, _ in SETS])
def test_every_feature_behaves_as_the_table_says_with_several_away(
    quick_stack: RunningStack, shop: Shop, stopped: set[str], names: str, level: Level
) -> None:
    wanted = set(names.split("+"))
    for part in stopped - wanted:
        quick_stack.restore(part)
    for part in wanted - stopped:
        quick_stack.stop(part)
    stopped.clear()
    stopped.update(wanted)

    both_at(shop, level)
    until("every feature for its reason", lambda: told(shop) == reasons(wanted, level) or None)

    check_behaviour(shop, wanted, level, POLICY)


def reasons(down: set[str], level: Level) -> list[dict[str, tuple[FeatureState, str, str]]]:
    """Return what both consumers are to say of each feature: its state, why, and the detail."""
    expected = {key: resolve(rule, level, frozenset(down)) for key, rule in POLICY.features.items()}
    return [{key: (each.state, each.because.value, each.detail) for key, each in expected.items()}] * 2


def told(shop: Shop) -> list[dict[str, tuple[FeatureState, str, str]]]:
    """Return what inventory-api and flag-service say of each feature."""
    here = shop.inventory.get("/v1/system/degradation").raise_for_status().json()["features"]
    there = {
        each["key"]: each for each in shop.flags.get("/v1/features").raise_for_status().json()["features"]
    }
    return [
        {key: (FeatureState(one["state"]), one["because"], one["detail"]) for key, one in each.items()}
        for each in (here, there)
    ]
