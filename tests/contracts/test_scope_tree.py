"""A scope without a level of its own goes by the nearest one above it; its region's holds bind it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience_contracts import (
    Because,
    DependencyState,
    FeatureState,
    Health,
    HoldSet,
    Level,
    View,
    is_beneath,
    lineage,
)
from tests.contracts.states import NOW, POLICY, hold_set, level_state

ASSISTANT = "integrations.ai_assistant"
REGION, STORE = "eu-west", "eu-west.store-042"
NAMES = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=4).map(".".join)


def knowing(**levels: Level) -> View:
    """A view of scopes, written with `_` for the dot."""
    view = View(POLICY)
    for name, level in levels.items():
        view.apply_level(level_state(level, scope=name.replace("__", ".").replace("_", "-")))
    return view


def held(scope: str, state: FeatureState, *, allow_better: bool = False, minutes: float = 60) -> HoldSet:
    return hold_set(state, allow_better=allow_better, minutes=minutes).model_copy(update={"scope": scope})


def on_level(scope: str) -> HoldSet:
    changed = {"scope": scope, "target": "level", "state": None, "level": "MINIMAL"}
    return hold_set().model_copy(update=changed)


def test_a_lineage_goes_from_a_scope_to_its_root() -> None:
    assert lineage("eu.west.store-042") == ("eu.west.store-042", "eu.west", "eu")
    assert lineage("default") == ("default",)
    assert is_beneath(STORE, REGION)
    assert not is_beneath("eu-west2.store-1", REGION)
    assert not is_beneath(REGION, REGION)


def test_a_store_follows_its_region_and_says_so() -> None:
    view = knowing(eu_west=Level.LIMITED)

    level = view.level(STORE, NOW)

    assert level is not None
    assert (level.scope, level.follows, level.level) == (STORE, REGION, Level.LIMITED)
    assert level.header() == 'LIMITED; version="1.1"; follows="eu-west"'
    assert view.feature(STORE, ASSISTANT, NOW).state is FeatureState.DISABLED
    assert view.scopes() == [REGION]


def test_a_store_with_a_level_of_its_own_follows_nobody() -> None:
    view = knowing(eu_west=Level.EMERGENCY, eu_west__store_042=Level.OPTIMAL)

    level = view.level(STORE, NOW)

    assert level is not None
    assert (level.follows, level.level) == (None, Level.OPTIMAL)
    assert view.feature(STORE, ASSISTANT, NOW).state is FeatureState.ENABLED


def test_what_is_stale_above_is_stale_below() -> None:
    seen = knowing(eu_west=Level.LIMITED).level(STORE, NOW + timedelta(minutes=5))

    assert seen is not None
    assert seen.stale


@given(known=st.sets(NAMES), asked=NAMES)
def test_the_nearest_level_upwards_counts(known: set[str], asked: str) -> None:
    view = View(POLICY)
    for scope in known:
        view.apply_level(level_state(scope=scope))

    state = view.state(asked)

    above = [scope for scope in known if scope == asked or asked.startswith(scope + ".")]
    assert (state.scope if state else None) == max(above, key=len, default=None)


@pytest.mark.parametrize("own_level", [False, True])
def test_a_regions_hold_on_a_feature_binds_its_stores(own_level: bool) -> None:
    view = knowing(eu_west=Level.OPTIMAL, **({"eu_west__store_042": Level.OPTIMAL} if own_level else {}))

    view.apply_hold(held(REGION, FeatureState.DISABLED))

    feature = view.feature(STORE, ASSISTANT, NOW)
    assert (feature.state, feature.because) == (FeatureState.DISABLED, Because.HOLD)
    assert feature.hold is not None
    assert feature.hold.scope == REGION
    assert view.feature("eu-north", ASSISTANT, NOW).hold is None


def test_the_nearest_hold_counts_and_the_regions_is_back_when_it_ends() -> None:
    view = knowing(eu_west=Level.OPTIMAL)
    view.apply_hold(held(REGION, FeatureState.DISABLED))
    view.apply_hold(held(STORE, FeatureState.FALLBACK, minutes=5))

    assert view.feature(STORE, ASSISTANT, NOW).state is FeatureState.FALLBACK
    assert view.feature(STORE, ASSISTANT, NOW + timedelta(minutes=6)).state is FeatureState.DISABLED


def test_a_regions_hold_that_may_be_better_is_so_only_where_its_level_counts() -> None:
    view = knowing(eu_west=Level.LIMITED)
    view.apply_hold(held(REGION, FeatureState.ENABLED, allow_better=True))
    assert view.feature(STORE, ASSISTANT, NOW).state is FeatureState.ENABLED

    view.apply_level(level_state(Level.LIMITED, scope=STORE))

    assert view.feature(REGION, ASSISTANT, NOW).state is FeatureState.ENABLED
    assert view.feature(STORE, ASSISTANT, NOW).state is FeatureState.DISABLED


def test_a_hold_on_a_regions_level_is_not_one_on_a_store_with_a_level_of_its_own() -> None:
    view = knowing(eu_west=Level.OPTIMAL)
    view.apply_hold(on_level(REGION))
    assert view.hold(STORE, "level", NOW) is not None

    view.apply_level(level_state(scope=STORE))

    assert view.hold(STORE, "level", NOW) is None


def test_dependencies_are_those_of_the_scope_that_is_followed() -> None:
    view = knowing(eu_west=Level.LIMITED)
    down = {"redis": DependencyState(health=Health.DOWN, score=0, since=NOW)}
    view.apply_level(level_state(version=(1, 2), scope=REGION).model_copy(update={"dependencies": down}))

    level = view.level(STORE, NOW)

    assert level is not None
    assert level.state.dependencies["redis"].health is Health.DOWN
