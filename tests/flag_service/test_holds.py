from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flag_service.domain.audit import Action
from flag_service.domain.holds import Draft, HoldInvalidError, action, difference, plan, tag
from resilience_contracts import FeatureState, HoldSet, Level
from tests.contracts.states import NOW, hold_set

TARGET = "integrations.ai_assistant"
REASON = "the assistant invents prices"


def draft(expires_at: datetime | None = None, state: FeatureState = FeatureState.DISABLED) -> Draft:
    return Draft("default", TARGET, REASON, state=state, expires_at=expires_at)


def planned(asked: Draft, held: HoldSet | None = None, now: datetime = NOW) -> HoldSet:
    return plan(asked, held, "ops", now, "new")


def test_a_hold_without_a_time_ends_after_an_hour() -> None:
    assert planned(draft()).expires_at == NOW + timedelta(hours=1)


def test_a_hold_of_a_day_is_the_longest() -> None:
    day = NOW + timedelta(hours=24)

    assert planned(draft(day)).expires_at == day
    with pytest.raises(HoldInvalidError, match="at most 24 hours"):
        planned(draft(day + timedelta(milliseconds=1)))


def test_a_hold_cannot_end_in_the_past() -> None:
    with pytest.raises(HoldInvalidError, match="future"):
        planned(draft(NOW))


@pytest.mark.parametrize(
    "asked",
    [
        Draft("default", "level", REASON, state=FeatureState.DISABLED),
        Draft("default", "level", REASON),
        Draft("default", "level", REASON, state=FeatureState.DISABLED, level=Level.LIMITED),
        Draft("default", TARGET, REASON, level=Level.LIMITED),
        Draft("default", TARGET, REASON),
    ],
)
def test_a_state_is_for_features_and_a_level_for_the_level(asked: Draft) -> None:
    with pytest.raises(HoldInvalidError, match="a hold on"):
        planned(asked)


def test_the_best_level_can_be_held() -> None:
    assert planned(Draft("default", "level", REASON, level=Level.OPTIMAL)).level == "OPTIMAL"


def test_an_edit_keeps_the_id_and_counts_up() -> None:
    edited = planned(draft(), hold_set(), NOW + timedelta(minutes=5))

    assert (edited.hold_id, edited.version) == ("h1", 2)


def test_a_hold_after_an_expired_one_has_a_new_id_and_is_still_ordered_after_it() -> None:
    after = planned(draft(), hold_set(), NOW + timedelta(hours=2))

    assert (after.hold_id, after.version) == ("new", 2)


@given(
    skew_s=st.floats(-3000, 3000),
    length_s=st.one_of(st.none(), st.floats(0.002, 86_400)),
    version=st.integers(1, 1000),
)
def test_a_new_record_is_newer_than_the_old_one_whatever_the_clocks_say(
    skew_s: float, length_s: float | None, version: int
) -> None:
    held = hold_set(version=version)
    now = NOW + timedelta(seconds=skew_s)
    ends = None if length_s is None else now + timedelta(seconds=length_s)

    record = planned(draft(ends), held, now)

    assert (record.set_at, record.version) > (held.set_at, held.version)
    assert record.expires_at > record.set_at


def test_a_change_is_named_by_what_it_does() -> None:
    held = hold_set()
    later = planned(draft(held.expires_at + timedelta(hours=1)), held, NOW + timedelta(minutes=1))
    other = planned(draft(state=FeatureState.FALLBACK), held, NOW + timedelta(minutes=1))
    sooner = planned(draft(NOW + timedelta(minutes=9)), held, NOW + timedelta(minutes=1))

    assert action(None, held) is Action.SET
    assert action(held, later) is Action.EXTEND
    assert action(held, other) is Action.CHANGE
    assert action(held, sooner) is Action.CHANGE


def test_the_difference_names_only_what_differs() -> None:
    proposed = planned(
        draft(hold_set().expires_at, FeatureState.FALLBACK), hold_set(), NOW + timedelta(minutes=1)
    )

    assert difference(hold_set(), proposed) == {"state": {"current": "DISABLED", "proposed": "FALLBACK"}}


def test_the_difference_to_no_hold_is_everything() -> None:
    assert difference(None, hold_set())["state"] == {"current": None, "proposed": "DISABLED"}


def test_the_tag_of_a_later_hold_never_matches_an_earlier_one() -> None:
    again = hold_set().model_copy(update={"hold_id": "h2"})

    assert tag(hold_set()) == '"h1.1"'
    assert tag(again) != tag(hold_set())
