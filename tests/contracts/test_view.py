from __future__ import annotations

from datetime import timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience_contracts import Applied, Because, FeatureState, Level, LevelState, Saved, View
from resilience_contracts.view import ENDS, hold_tombstone
from tests.contracts.states import NOW, POLICY, hold_set, level_state

AI = "integrations.ai_assistant"
DASHBOARD = "analytics.dashboard"


def view(*states: LevelState) -> View:
    made = View(POLICY)
    for state in states:
        made.apply_level(state)
    return made


def test_only_what_is_newer_is_applied() -> None:
    seen = view(level_state(Level.LIMITED, (3, 5)))

    assert seen.apply_level(level_state(Level.OPTIMAL, (3, 4))) is Applied.OLDER
    assert seen.apply_level(level_state(Level.OPTIMAL, (3, 5))) is Applied.OLDER
    assert (
        seen.apply_level(level_state(Level.LIMITED, (3, 5), NOW + timedelta(seconds=1))) is Applied.HEARTBEAT
    )
    assert seen.apply_level(level_state(Level.DEGRADED, (4, 1))) is Applied.CHANGED
    current = seen.level("default", NOW)
    assert current is not None
    assert current.level is Level.DEGRADED


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=6, unique=True))
def test_the_order_of_arrival_does_not_matter(versions: list[tuple[int, int]]) -> None:
    outcomes = set()
    for order in list(permutations(versions))[:24]:
        seen = view(*(level_state(version=version) for version in order))
        current = seen.level("default", NOW)
        assert current is not None
        outcomes.add(tuple(current.version))

    assert outcomes == {max(versions)}


def test_a_level_without_heartbeats_is_stale_but_kept() -> None:
    seen = view(level_state(Level.LIMITED))

    fresh = seen.level("default", NOW + timedelta(seconds=90))
    stale = seen.level("default", NOW + timedelta(seconds=91))

    assert fresh is not None
    assert stale is not None
    assert (fresh.stale, stale.stale) == (False, True)
    assert stale.level is Level.LIMITED
    assert stale.header() == 'LIMITED; version="1.1"; stale'


def test_a_level_of_the_future_is_placed_by_its_rank() -> None:
    future = level_state().model_copy(update={"level": "DARKNESS", "rank": 9})

    current = view(future).level("default", NOW)

    assert current is not None
    assert (current.level, current.name) == (Level.EMERGENCY, "DARKNESS")


def test_before_anything_is_heard_features_have_their_declared_state() -> None:
    seen = view()

    assert seen.level("default", NOW) is None
    assert seen.feature("default", "inventory.reservations", NOW).state is FeatureState.ENABLED
    answer = seen.feature("default", "analytics.reports", NOW)
    assert (answer.state, answer.because) == (FeatureState.DISABLED, Because.UNKNOWN)


def test_a_feature_the_engine_does_not_know_has_its_declared_state() -> None:
    state = level_state()
    partial = state.model_copy(update={"features": {k: v for k, v in state.features.items() if k != AI}})

    assert view(partial).feature("default", AI, NOW).because is Because.UNKNOWN


def test_a_hold_replaces_the_automatic_state_until_it_expires() -> None:
    seen = view(level_state())
    seen.apply_hold(hold_set(FeatureState.DISABLED, minutes=60))

    held = seen.feature("default", AI, NOW + timedelta(minutes=59))
    over = seen.feature("default", AI, NOW + timedelta(minutes=60))

    assert (held.state, held.because, held.automatic) == (
        FeatureState.DISABLED,
        Because.HOLD,
        FeatureState.ENABLED,
    )
    assert "ops" in held.detail
    assert (over.state, over.hold) == (FeatureState.ENABLED, None)


@pytest.mark.parametrize(("allow", "state"), [(False, FeatureState.DISABLED), (True, FeatureState.ENABLED)])
def test_a_better_state_than_automation_needs_the_flag(allow: bool, state: FeatureState) -> None:
    seen = view(level_state(Level.EMERGENCY))
    seen.apply_hold(hold_set(FeatureState.ENABLED, allow_better=allow, target=DASHBOARD))

    assert seen.feature("default", DASHBOARD, NOW).state is state


def test_an_older_edit_of_a_hold_is_not_applied() -> None:
    seen = view(level_state())
    seen.apply_hold(hold_set(FeatureState.DISABLED, version=2))

    assert seen.apply_hold(hold_set(FeatureState.FALLBACK, version=1)) is Applied.OLDER
    assert seen.feature("default", AI, NOW).state is FeatureState.DISABLED


def test_a_tombstone_ends_a_hold() -> None:
    seen = view(level_state())
    seen.apply_hold(hold_set())

    assert seen.end_hold("default/" + AI) is Applied.CHANGED
    assert seen.end_hold("default/" + AI) is Applied.OLDER
    assert seen.feature("default", AI, NOW).because is Because.LEVEL


def test_a_tombstone_does_not_end_an_edit_that_its_writer_has_not_read() -> None:
    seen, first, edited = view(level_state()), hold_set(version=1), hold_set(version=2)
    seen.apply_hold(edited)

    late = seen.end_hold(first.key, hold_tombstone(first).headers)
    after_late = seen.feature("default", AI, NOW).because
    right = seen.end_hold(first.key, hold_tombstone(edited).headers)

    assert (late, after_late, right) == (Applied.OLDER, Because.HOLD, Applied.CHANGED)


@pytest.mark.parametrize("ends", [b"", b"yesterday 1", b"2026-03-01T12:00:00.000Z", b"\xff 1", None])
def test_a_tombstone_that_does_not_say_what_it_ends_ends_whatever_there_is(ends: bytes | None) -> None:
    seen = view(level_state())
    seen.apply_hold(hold_set())

    assert seen.end_hold("default/" + AI, ((ENDS, ends),)) is Applied.CHANGED


def test_a_tombstone_of_a_later_edit_ends_an_older_record() -> None:
    seen = view(level_state())
    seen.apply_hold(hold_set(version=1))

    ended = seen.end_hold("default/" + AI, hold_tombstone(hold_set(version=2)).headers)

    assert ended is Applied.CHANGED


def test_expired_holds_are_listed_until_their_tombstone_comes() -> None:
    seen = view()
    seen.apply_hold(hold_set(minutes=1))
    later = NOW + timedelta(minutes=2)

    assert seen.next_expiry(NOW) == NOW + timedelta(minutes=1)
    assert [hold.target for hold in seen.expired(later)] == [AI]
    assert seen.holds(later) == []


def test_what_is_saved_is_restored() -> None:
    seen = view(level_state(Level.LIMITED, (2, 7)))
    seen.apply_hold(hold_set())
    text = seen.save().model_dump_json()

    again = View(POLICY)
    again.restore(Saved.model_validate_json(text))

    assert again.save() == seen.save()


def test_an_unknown_feature_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        view().feature("default", "no.such", NOW)
