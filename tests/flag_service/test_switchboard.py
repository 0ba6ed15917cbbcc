from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from flag_service.domain.picture import Picture
from flag_service.domain.switchboard import Switchboard
from resilience_contracts import FeatureState, Level
from resilience_contracts.view import hold_tombstone
from tests.contracts.states import NOW, POLICY, hold_set, level_state

HELD = "integrations.ai_assistant"
WRITER = "/services/flag-service/1"


class Board:
    """A switchboard that notes what it tells."""

    def __init__(self, *, live: bool = True) -> None:
        self.effects: list[Picture] = []
        self.heartbeats: list[Picture] = []
        self.board = Switchboard(POLICY, "default", self.effects.append, self.heartbeats.append)
        self.board.start(NOW, None)
        if live:
            self.board.finish_reading(NOW)
        self.effects.clear()

    def state(self, now: datetime = NOW) -> FeatureState:
        features = self.board.picture("default", now).features
        return next(feature.state for feature in features if feature.key == HELD)


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def test_a_new_level_is_told_once_and_its_heartbeat_is_none() -> None:
    board = Board()

    board.board.apply_level(level_state(Level.LIMITED, (1, 2)), NOW)
    revision = board.board.revision
    board.board.apply_level(level_state(Level.LIMITED, (1, 2), later(30)), later(30))
    board.board.apply_level(level_state(Level.LIMITED, (1, 2), later(30)), later(30))

    assert [picture.level and picture.level.name for picture in board.effects] == ["LIMITED"]
    assert len(board.heartbeats) == 1
    assert board.board.revision == revision + 1


def test_an_older_level_changes_nothing() -> None:
    board = Board()
    board.board.apply_level(level_state(Level.LIMITED, (1, 2)), NOW)

    board.board.apply_level(level_state(Level.OPTIMAL, (1, 1), later(60)), later(60))

    assert len(board.effects) == 1


def test_the_picture_is_in_place_before_anyone_is_told() -> None:
    seen: list[Level | None] = []

    def look(told: Picture) -> None:
        picture = board.picture(told.scope, NOW)
        seen.append(picture.level.level if picture.level else None)

    board = Switchboard(POLICY, "default", look, look)
    board.start(NOW, None)
    board.finish_reading(NOW)

    board.apply_level(level_state(Level.MINIMAL), NOW)

    assert seen[-1] is Level.MINIMAL


def test_a_hold_ends_by_itself_at_its_deadline_and_that_is_told() -> None:
    board = Board()
    board.board.apply_level(level_state(), NOW)
    board.board.apply_hold(hold_set(minutes=1), NOW, WRITER)
    board.effects.clear()

    assert board.board.next_deadline == later(60)
    board.board.advance(later(59.999))
    assert not board.effects
    board.board.advance(later(60))

    assert len(board.effects) == 1
    assert board.state(later(60)) is FeatureState.ENABLED
    assert [hold.hold_id for hold in board.board.due(later(60), WRITER)] == ["h1"]


def test_an_edited_hold_does_not_end_at_its_old_time() -> None:
    board = Board()
    board.board.apply_level(level_state(), NOW)
    board.board.apply_hold(hold_set(minutes=1), NOW, WRITER)
    board.board.apply_hold(hold_set(minutes=5, version=2, set_at=later(1)), later(1), WRITER)

    assert board.state(later(61)) is FeatureState.DISABLED
    assert board.state(later(301)) is FeatureState.ENABLED


def test_reading_does_not_wait_for_the_timer() -> None:
    board = Board()
    board.board.apply_level(level_state(), NOW)
    board.board.apply_hold(hold_set(minutes=1), NOW, WRITER)

    assert board.state(later(60)) is FeatureState.ENABLED


def test_a_silent_level_goes_stale_at_its_deadline_and_that_is_told_once() -> None:
    board = Board()
    board.board.apply_level(level_state(Level.LIMITED), NOW)
    board.effects.clear()

    for seconds in (90, 90.001, 91, 200):
        board.board.advance(later(seconds))

    assert [picture.level and picture.level.stale for picture in board.effects] == [True]
    assert board.board.next_deadline is None


def test_while_topics_are_read_the_state_of_before_is_served() -> None:
    first = Board()
    first.board.apply_level(level_state(Level.LIMITED, (1, 5)), NOW)
    first.board.apply_hold(hold_set(FeatureState.DISABLED), NOW, WRITER)
    board = Board(live=False)
    board.board.start(NOW, first.board.save())

    board.board.apply_level(level_state(Level.EMERGENCY, (1, 3)), NOW)
    board.board.end_hold(hold_set().key, (), NOW)

    picture = board.board.picture("default", NOW)
    assert picture.level is not None
    assert picture.level.level is Level.LIMITED
    assert picture.holds == (hold_set(),)


def test_a_hold_that_ended_while_we_were_away_is_gone_after_reading() -> None:
    first = Board()
    first.board.apply_hold(hold_set(), NOW, WRITER)
    board = Board(live=False)
    board.board.start(NOW, first.board.save())

    board.board.finish_reading(NOW)

    assert board.board.picture("default", NOW).holds == ()


def test_an_end_that_was_read_holds_against_a_record_that_comes_late_from_another_region() -> None:
    board = Board(live=False)
    board.board.start(NOW, None)
    board.board.end_hold(hold_set().key, hold_tombstone(hold_set()).headers, NOW)
    board.board.finish_reading(NOW)

    board.board.apply_hold(hold_set(), NOW, WRITER)

    assert board.board.picture("default", NOW).holds == ()


def test_reading_again_after_a_rebuild_never_shows_an_older_level() -> None:
    board = Board()
    board.board.apply_level(level_state(Level.LIMITED, (2, 5)), NOW)

    board.board.begin_reading()
    board.board.apply_level(level_state(Level.EMERGENCY, (2, 4)), NOW)
    board.board.finish_reading(NOW)

    picture = board.board.picture("default", NOW)
    assert picture.level is not None
    assert picture.level.level is Level.LIMITED


def test_holds_are_not_ended_before_the_topic_was_read() -> None:
    first = Board()
    first.board.apply_hold(hold_set(minutes=1), NOW, WRITER)
    board = Board(live=False)
    board.board.start(later(120), first.board.save())

    assert board.board.due(later(120), WRITER) == []


def test_the_end_of_a_hold_is_first_for_its_writer_and_later_for_anyone() -> None:
    board = Board()
    board.board.apply_hold(hold_set(minutes=1), NOW, WRITER)

    assert board.board.due(later(60), "/services/flag-service/2") == []
    assert board.board.due(later(60), WRITER) == [hold_set(minutes=1)]
    assert board.board.due(later(65.1), "/services/flag-service/2") == [hold_set(minutes=1)]


def test_the_last_record_of_a_target_is_found_after_it_expired() -> None:
    board = Board()
    board.board.apply_hold(hold_set(minutes=1), NOW, WRITER)

    assert board.board.last_hold("default", HELD, later(99)) == hold_set(minutes=1)


def test_a_scope_nobody_heard_of_is_answered_and_not_remembered() -> None:
    board = Board()

    assert board.board.picture("nowhere", NOW).level is None
    assert not board.board.knows("nowhere")
    assert board.board.knows("default")


@given(
    order=st.permutations(range(6)),
    again=st.lists(st.integers(0, 5), max_size=6),
)
def test_replicas_agree_whatever_the_order_and_however_often_records_come(
    order: list[int], again: list[int]
) -> None:
    records = [level_state(Level(number % 5), (1, number + 1), later(number)) for number in range(6)]
    one, other = Board(), Board()

    for number in range(6):
        one.board.apply_level(records[number], later(10))
    for number in (*order, *again):
        other.board.apply_level(records[number], later(10))

    assert one.board.picture("default", later(10)) == other.board.picture("default", later(10))
