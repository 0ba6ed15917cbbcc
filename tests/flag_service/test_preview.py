from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flag_service.domain.holds import Draft
from flag_service.domain.picture import Picture, draw
from flag_service.domain.preview import Effect, preview
from resilience_contracts import FeatureState, Level, View
from tests.contracts.states import NOW, POLICY, hold_set, level_state

HELD = "integrations.ai_assistant"
REASON = "the assistant invents prices"


def picture(level: Level = Level.OPTIMAL) -> Picture:
    view = View(POLICY)
    view.apply_level(level_state(level))
    return draw(view, "default", NOW)


def test_a_hold_on_a_feature_changes_that_feature() -> None:
    draft = Draft("default", HELD, REASON, state=FeatureState.DISABLED)

    assert preview(draft, picture(), POLICY) == [Effect(HELD, FeatureState.ENABLED, FeatureState.DISABLED)]


def test_a_hold_that_automation_overrules_changes_nothing() -> None:
    better = Draft("default", HELD, REASON, state=FeatureState.ENABLED)
    allowed = Draft("default", HELD, REASON, state=FeatureState.ENABLED, allow_better=True)

    assert preview(better, picture(Level.LIMITED), POLICY) == []
    assert preview(allowed, picture(Level.LIMITED), POLICY) == [
        Effect(HELD, FeatureState.DISABLED, FeatureState.ENABLED)
    ]


def test_a_hold_on_the_level_changes_what_the_policy_says() -> None:
    draft = Draft("default", "level", REASON, level=Level.DEGRADED)

    changed = {effect.key: effect.after for effect in preview(draft, picture(), POLICY)}

    assert changed == {
        key: rule.at(Level.DEGRADED)
        for key, rule in POLICY.features.items()
        if rule.at(Level.DEGRADED) is not rule.at(Level.OPTIMAL)
    }


@given(level=st.sampled_from(Level), wanted=st.sampled_from(FeatureState), better=st.booleans())
def test_the_preview_of_a_feature_is_what_then_comes_to_pass(
    level: Level, wanted: FeatureState, better: bool
) -> None:
    before = picture(level)
    draft = Draft("default", HELD, REASON, state=wanted, allow_better=better)
    view = View(POLICY)
    view.apply_level(level_state(level))
    view.apply_hold(hold_set(wanted, allow_better=better))
    after = draw(view, "default", NOW)

    foreseen = {effect.key: effect.after for effect in preview(draft, before, POLICY)}

    came = {
        new.key: new.state
        for old, new in zip(before.features, after.features, strict=True)
        if old.state != new.state
    }
    assert foreseen == came


@pytest.mark.parametrize("level", Level)
def test_holding_the_level_where_it_is_changes_nothing(level: Level) -> None:
    assert preview(Draft("default", "level", REASON, level=level), picture(level), POLICY) == []
