from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flag_service.domain.evaluation import Evaluation, Reason
from flag_service.domain.flags import FlagCatalogue, Sheet
from flag_service.domain.picture import Picture, draw
from resilience_contracts import FeatureState, Level, PolicyError, View
from tests.contracts.states import NOW, POLICY, hold_set, level_state

FLAGS = FlagCatalogue(POLICY)
ASSISTANT = "integrations.ai_assistant"


def picture(
    *, level: Level | None = Level.LIMITED, hold: FeatureState | None = None, late_s: float = 0
) -> Picture:
    view = View(POLICY)
    if level is not None:
        view.apply_level(level_state(level, (3, 7)))
    if hold is not None:
        view.apply_hold(hold_set(hold, allow_better=True))
    return draw(view, "default", NOW + timedelta(seconds=late_s))


def flag(key: str, seen: Picture) -> Evaluation:
    return Sheet(FLAGS, seen).evaluate(key, {})


def test_every_feature_has_a_boolean_and_a_mode_flag_and_the_level_has_two() -> None:
    assert len(FLAGS) == 2 * 16 + 2
    assert all(key in FLAGS and f"{key}.mode" in FLAGS for key in POLICY.features)
    assert "system.level" in FLAGS
    assert "system.level.rank" in FLAGS


@pytest.mark.parametrize(
    ("level", "value", "mode", "variant"),
    [
        (Level.OPTIMAL, True, "ENABLED", "enabled"),
        (Level.DEGRADED, True, "FALLBACK", "fallback"),
        (Level.LIMITED, False, "DISABLED", "disabled"),
    ],
)
def test_a_feature_is_on_while_enabled_or_in_fallback(
    level: Level, value: bool, mode: str, variant: str
) -> None:
    boolean = flag(ASSISTANT, picture(level=level))
    string = flag(f"{ASSISTANT}.mode", picture(level=level))

    assert (boolean.value, boolean.variant, boolean.reason) == (value, variant, Reason.STATIC)
    assert (string.value, string.variant, string.reason) == (mode, variant, Reason.STATIC)


def test_metadata_says_the_true_cause() -> None:
    metadata = flag(ASSISTANT, picture()).metadata

    assert metadata == {
        "because": "level",
        "detail": "an example",
        "scope": "default",
        "level": "LIMITED",
        "level_version": "3.7",
        "stale": False,
    }


def test_a_hold_names_itself_and_its_end() -> None:
    evaluation = flag(ASSISTANT, picture(hold=FeatureState.ENABLED))

    assert evaluation.value is True
    assert evaluation.metadata["because"] == "hold"
    assert evaluation.metadata["hold_id"] == "h1"
    assert evaluation.metadata["expires_at"] == "2026-03-01T13:00:00.000Z"


def test_an_expired_hold_leaves_no_trace() -> None:
    held = picture(hold=FeatureState.ENABLED, late_s=3600)

    metadata = flag(ASSISTANT, held).metadata

    assert "hold_id" not in metadata
    assert metadata["because"] == "level"


def test_a_stale_level_keeps_its_values_and_says_so() -> None:
    evaluation = flag(ASSISTANT, picture(late_s=91))

    assert evaluation.value is False
    assert evaluation.reason is Reason.UNKNOWN
    assert evaluation.metadata["stale"] is True


def test_nothing_heard_gives_each_features_unknown_mode_and_no_level() -> None:
    unheard = picture(level=None)

    assert flag("inventory.reservations", unheard).value is True
    assert flag("inventory.reservations", unheard).metadata["because"] == "unknown"
    assert flag("system.level", unheard).value is None
    assert flag("system.level.rank", unheard).value is None
    assert flag("system.level", unheard).reason is Reason.UNKNOWN


def test_the_level_is_a_flag_by_name_and_by_rank() -> None:
    assert flag("system.level", picture()).value == "LIMITED"
    assert flag("system.level.rank", picture()).value == 2


@given(
    level=st.sampled_from(Level), hold=st.sampled_from([None, *FeatureState]), late_s=st.sampled_from([0, 91])
)
def test_every_answer_is_one_that_every_client_reads(
    level: Level, hold: FeatureState | None, late_s: int
) -> None:
    for evaluation in Sheet(FLAGS, picture(level=level, hold=hold, late_s=late_s)).evaluate_all({}):
        assert isinstance(evaluation, Evaluation)
        assert isinstance(evaluation.value, bool | int | str)
        assert evaluation.reason in {"STATIC", "TARGETING_MATCH", "SPLIT", "DISABLED", "UNKNOWN", "DEFAULT"}
        assert evaluation.variant
        assert all(isinstance(value, bool | int | str) for value in evaluation.metadata.values())


def test_two_features_that_lead_to_one_flag_are_refused() -> None:
    rule = POLICY.features["performance.caching"]
    clash = POLICY.model_copy(update={"features": {"a": rule, "a.mode": rule}})

    with pytest.raises(PolicyError, match=r"two flags would be called a\.mode"):
        FlagCatalogue(clash)
