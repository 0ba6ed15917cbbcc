from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory_api.adapters.news_feed import TOPICS, news_of
from inventory_api.domain.news import Choice, News, NewsLog, Novelty, Topical, read_position, write_position
from inventory_api.domain.subscription import message_of, subject_of
from resilience_contracts import Event, encode
from resilience_runtime import BadMessage, Message
from tests.contracts.states import NOW, health_observed, ledger_recorded, low_stock, stock_state

PLACES = [f"{topic}/{number}" for topic in TOPICS for number in range(2)]


def record(event: Event, offset: int = 0) -> Message:
    topic, key, value, headers = encode(event, "/tests")
    return Message(topic, key, value, headers, 0, offset, 0)


def piece(place: str, offset: int, about: Topical = Topical.LOW) -> News:
    return News(about, "TEE", frozenset({"shop"}), f"{place}@{offset}", "t", "now", "{}", place, offset)


@given(st.dictionaries(st.sampled_from(PLACES), st.integers(0, 10**17)))
def test_a_position_is_read_as_it_was_written(position: dict[str, int]) -> None:
    read = read_position(write_position(position))

    assert read is not None
    assert {place: offset for place, offset in read.items() if offset} == {
        place: offset for place, offset in position.items() if offset and place in read
    }
    whole = dict.fromkeys(PLACES, 0) | position
    assert read_position(write_position(whole)) == whole


@pytest.mark.parametrize(
    "text", ["", "c", "s", "c1s", "c1.s-1.", "c1.s².", "boot-7", f"c{'9' * 19}.s", "c1.s1. "]
)
def test_what_is_no_position_is_not_read_as_one(text: str) -> None:
    assert read_position(text) is None


RECORDS = st.lists(st.tuples(st.sampled_from(PLACES), st.integers(1, 3), st.booleans()), max_size=40)


@given(
    records=RECORDS,
    capacity=st.integers(1, 12),
    came=st.dictionaries(st.sampled_from(PLACES), st.integers(0, 30)),
)
def test_the_log_gives_all_that_is_after_a_position_or_says_that_it_cannot(
    records: list[tuple[str, int, bool]], capacity: int, came: dict[str, int]
) -> None:
    log, every, ends = NewsLog(capacity), list[News](), dict.fromkeys(PLACES, 5)
    log.begin(ends)
    for place, gap, tells in records:
        offset = ends[place] + gap - 1  # compaction leaves gaps
        news = piece(place, offset) if tells else None
        every += [news] if news else []
        log.take(place, offset, news)
        ends[place] = offset + 1

    found = log.after(came)

    wanted = [news for news in every if news.offset >= came.get(news.place, 0)]
    covered = all(came.get(place, 0) >= 5 for place in PLACES) and len(wanted) <= capacity
    assert log.position == ends
    if found is None:
        kept = every[-capacity:]
        gone = every[: len(every) - len(kept)]
        assert not covered or any(came.get(one.place, 0) <= one.offset for one in gone)
    else:
        assert list(found) == wanted
        assert all(came.get(place, 0) >= 5 for place in PLACES)
    number = log.arrived - min(3, len(every))
    since = log.since(number)
    assert since is None or list(since) == every[len(every) - min(3, len(every)) :]


def test_a_record_is_known_once_it_was_read() -> None:
    log = NewsLog(3)
    log.begin({"t/0": 7})
    log.take("t/0", 7, None)

    assert [log.knows("t/0", offset) for offset in (6, 7, 8)] == [True, True, False]
    log.forget()
    assert not log.knows("t/0", 7)
    assert log.position == {}


@pytest.mark.parametrize(
    ("choice", "taken"),
    [
        (Choice(), True),
        (Choice(about=frozenset({Topical.LOW})), True),
        (Choice(about=frozenset({Topical.BACK})), False),
        (Choice.of((), ("TEE", "SOCK"), ()), True),
        (Choice.of((), ("TEES",), ()), False),
        (Choice.of((), ("tee",), ("SHOP",)), True),
        (Choice.of((), (), ("shop",)), True),
        (Choice.of((), ("TEE",), ("hall",)), False),
    ],
)
def test_a_choice_takes_what_is_in_all_of_its_parts(choice: Choice, *, taken: bool) -> None:
    assert choice.takes(piece("t/0", 1)) is taken


def test_availability_is_news_where_it_changed() -> None:
    novelty = Novelty(2)

    assert novelty.changed("TEE", {"shop": 1, "hall": 2}) == {"shop", "hall"}
    assert novelty.changed("TEE", {"shop": 1, "hall": 3}) == {"hall"}
    assert novelty.changed("TEE", {"shop": 1, "hall": 3}) == frozenset()
    assert novelty.changed("TEE", {"shop": 1}) == {"hall"}
    for other in ("A", "B"):
        novelty.changed(other, {"shop": 1})
    assert novelty.changed("TEE", {"shop": 1}) == {"shop"}


def test_an_edge_is_news_once() -> None:
    novelty = Novelty(2)

    assert [novelty.edge("a"), novelty.edge("a"), novelty.edge("b")] == [True, False, True]


def test_what_is_no_news_of_stock_is_passed_over_and_what_does_not_belong_is_refused() -> None:
    assert news_of(record(ledger_recorded()), Novelty(9)) is None
    assert news_of(Message(TOPICS[1], b"TEE", None, (), 0, 0, 0), Novelty(9)) is None
    for value in (b"{", b"[]"):
        with pytest.raises(BadMessage):
            news_of(Message(TOPICS[0], b"TEE", value, (), 0, 0, 0), Novelty(9))
    with pytest.raises(BadMessage):
        news_of(record(health_observed()), Novelty(9))


def test_a_message_has_one_id_for_one_content_and_edges_of_a_place_supersede_one_another() -> None:
    edge = news_of(record(low_stock()), Novelty(9))
    again = news_of(record(low_stock(), 7), Novelty(9))
    state = news_of(record(stock_state()), Novelty(9))
    later = stock_state().model_copy(update={"as_of": datetime(2026, 4, 1, tzinfo=UTC)})
    restated = news_of(record(later), Novelty(9))
    assert edge
    assert again
    assert state
    assert restated

    assert message_of(edge) == message_of(again)
    assert message_of(state).id != message_of(restated).id
    assert subject_of(edge) == "edge:0017/berlin"
    assert subject_of(state) == subject_of(restated) == "availability:0017"
    assert f'"time":"{NOW:%Y-%m-%dT%H:%M:%S}.000Z"' in message_of(edge).body
