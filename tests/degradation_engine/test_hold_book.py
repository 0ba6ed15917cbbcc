from __future__ import annotations

from datetime import datetime

import pytest

from degradation_engine.adapters.hold_book import HoldBook
from resilience_contracts import Event, FeatureState, Level, Topic, encode
from resilience_runtime.bus import BadMessage, Message
from tests.contracts.states import hold_set, level_changed
from tests.degradation_engine.shop import POLICY, at, level_hold

NOW: datetime = at(10)


def record(event: Event) -> Message:
    encoded = encode(event, "/services/flag-service/f1")
    return Message(Topic.HOLDS, encoded.key, encoded.value, encoded.headers, 0, 0, 0)


def tombstone(key: bytes | None) -> Message:
    return Message(Topic.HOLDS, key, None, (), 0, 1, 0)


def test_holds_on_levels_in_force_are_told_by_scope() -> None:
    book, hold = HoldBook(POLICY), level_hold(Level.LIMITED, 0)

    book.apply(record(hold))

    assert book.on_levels(NOW) == {"default": hold}
    assert book.on_levels(at(601)) == {}


def test_holds_on_features_are_not_the_engine_s_business() -> None:
    book = HoldBook(POLICY)

    book.apply(record(hold_set(FeatureState.DISABLED, set_at=at(0))))

    assert book.on_levels(NOW) == {}


def test_a_tombstone_ends_a_hold() -> None:
    book = HoldBook(POLICY)
    book.apply(record(level_hold(Level.LIMITED, 0)))

    book.apply(tombstone(b"default/level"))
    book.apply(tombstone(None))

    assert book.on_levels(NOW) == {}


def test_reading_everything_again_forgets_first() -> None:
    book = HoldBook(POLICY)
    book.apply(record(level_hold(Level.LIMITED, 0)))

    book.forget()

    assert book.on_levels(NOW) == {}


@pytest.mark.parametrize(
    "bad",
    [record(level_changed()), Message(Topic.HOLDS, b"k", b"\x00", (), 0, 0, 0)],
    ids=["another event", "garbage"],
)
def test_what_is_no_hold_is_bad(bad: Message) -> None:
    with pytest.raises(BadMessage):
        HoldBook(POLICY).apply(bad)
