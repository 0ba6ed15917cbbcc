"""Of everything that happens, a subscriber is told each wanted piece, whatever is kept, stored or lost meanwhile."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from inventory_api.application.newsroom import STORE_EVERY, Newsroom
from inventory_api.domain.news import News, NewsLog, Topical
from inventory_api.domain.subscription import Subscription, message_of
from resilience_delivery import Answer, Progress
from resilience_delivery import News as Told

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PLACES = ("inventory.changes.v1/0", "inventory.stock.v1/0")


def subscription(**begins: int) -> Subscription:
    return Subscription(
        id="wh_1",
        url="https://shop.example",
        created_at=NOW,
        created_by="olivia",
        key_id="k",
        about=frozenset({Topical.LOW}),
        skus=frozenset(),
        locations=frozenset(),
        begins=dict(zip(PLACES, begins.values(), strict=False)),
    )


class Shelf:
    """Everything that ever was in the topics."""

    def __init__(self) -> None:
        self.every: list[News] = []
        self.ends = dict.fromkeys(PLACES, 0)
        self.reads = 0

    def add(self, place: str, *, wanted: bool, size: int) -> News:
        number, offset = len(self.every), self.ends[place]
        about = Topical.LOW if wanted else Topical.BACK
        news = News(
            about,
            f"S{number}",
            frozenset({"shop"}),
            f"e{number}",
            "t",
            "now",
            f'"{"x" * size}"',
            place,
            offset,
        )
        self.every.append(news)
        self.ends[place] = offset + 1
        return news

    async def read(self, position: Mapping[str, int]) -> tuple[Sequence[News], dict[str, int]]:
        self.reads += 1
        waiting = [news for news in self.every if news.offset >= position.get(news.place, 0)][:3]
        return waiting, dict(position) | {news.place: news.offset + 1 for news in waiting}


def done(asking: Coroutine[Any, Any, Told]) -> Told:
    """Return what is found; nothing here waits."""
    try:
        asking.send(None)
    except StopIteration as found:
        result: Told = found.value
        return result
    raise AssertionError("it waits")


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("happens"), st.sampled_from(PLACES), st.booleans(), st.sampled_from([10, 90_000, 300_000])
        ),
        st.tuples(st.just("look"), st.booleans()),
        st.tuples(st.just("deliver"), st.just(0)),
        st.tuples(st.just("restart"), st.just(0)),
    ),
    max_size=60,
)


@given(steps=STEPS, capacity=st.integers(1, 20))
def test_every_wanted_piece_is_told_once_and_in_its_order_whatever_happens(
    steps: list[tuple[object, ...]], capacity: int
) -> None:
    shelf, told = Shelf(), list[str]()
    log = NewsLog(capacity)
    log.begin(dict.fromkeys(PLACES, 0))
    room, one, progress = Newsroom(log, shelf), subscription(), Progress()

    def look(progress: Progress) -> Progress:
        news = done(room.news(one, progress))
        return progress.offer(news.messages, 0, NOW, lambda _: None, news.position)

    def deliver(progress: Progress) -> Progress:
        due = progress.due(NOW)
        if due is None:
            return progress
        told.append(due.id)
        return progress.after(due, Answer(204), NOW, 0.0)

    for kind, *given_ in steps:
        if kind == "happens":
            place, wanted, size = given_
            news = shelf.add(str(place), wanted=bool(wanted), size=int(str(size)))
            log.take(news.place, news.offset, news)
        elif kind == "look":
            found = look(progress)
            progress = found if given_[0] else progress  # or it could not be stored
        elif kind == "deliver":
            progress = deliver(progress)
        else:  # another replica takes over, which has read the latest only
            log = NewsLog(capacity)
            log.begin(shelf.ends)
            room = Newsroom(log, shelf)
    for _ in range(4 * len(steps) + 4):
        progress = deliver(look(progress))

    wanted_ids = [message_of(news).id for news in shelf.every if news.about is Topical.LOW]
    assert sorted(told) == sorted(wanted_ids)


def test_news_that_nobody_wants_is_not_stored_each_time_nor_looked_at_again() -> None:
    shelf, log = Shelf(), NewsLog(10_000)
    log.begin(dict.fromkeys(PLACES, 0))
    room, progress = Newsroom(log, shelf), Progress()
    stored = 0
    for number in range(2 * STORE_EVERY):
        news = shelf.add(PLACES[0], wanted=False, size=1)
        log.take(news.place, news.offset, news)
        if number % 50 == 49:
            found = done(room.news(subscription(), progress))
            after = progress.offer(found.messages, 0, NOW, lambda _: None, found.position)
            stored += after is not progress
            progress = after

    assert stored == 2
    assert shelf.reads == 0


def test_a_subscription_hears_of_nothing_that_was_before_it() -> None:
    shelf, log = Shelf(), NewsLog(10)
    log.begin(dict.fromkeys(PLACES, 0))
    for _ in range(4):
        news = shelf.add(PLACES[0], wanted=True, size=1)
        log.take(news.place, news.offset, news)

    found = done(Newsroom(log, shelf).news(subscription(changes=3), Progress()))

    assert [message.scope for message in found.messages] == ["S3"]


def test_while_a_record_is_full_nothing_is_looked_for() -> None:
    shelf, log = Shelf(), NewsLog(1)
    log.begin(shelf.ends)
    for _ in range(3):
        news = shelf.add(PLACES[0], wanted=True, size=490_000)
        log.take(news.place, news.offset, news)
    room = Newsroom(log, shelf)

    first = done(room.news(subscription(), Progress()))
    full = Progress().offer(first.messages, 0, NOW, lambda _: None, first.position)
    second = done(room.news(subscription(), full))

    assert (len(first.messages), shelf.reads) == (1, 1)
    assert second.messages == ()
    assert replace(full, revision=0) == replace(
        full.offer(second.messages, 0, NOW, lambda _: None, second.position), revision=0
    )
