"""News of stock: what is told on event streams and by webhooks, and the latest of it by its place in the topics."""

from __future__ import annotations

import re
from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

from resilience_contracts import Topic

from .sku import fold

Position = Mapping[str, int]
"""Of each partition, by `topic/partition`, the offset of the next record: what is before it has been told."""


_WRITTEN = re.compile(r"c((?:[0-9]{1,18}\.)*)s((?:[0-9]{1,18}\.)*)", re.ASCII)
LETTERS = {Topic.CHANGES: "c", Topic.STOCK: "s"}


def write_position(position: Position) -> str:
    """Write a position as text, the same for every replica: `c12.7.s3.0.` is of two partitions of each topic."""
    return "".join(letter + _offsets(topic, position) for topic, letter in LETTERS.items())


def read_position(text: str) -> dict[str, int] | None:
    """Read a position, or return None for what is none."""
    found = _WRITTEN.fullmatch(text)
    if found is None:
        return None
    return {
        f"{topic}/{number}": int(offset)
        for topic, offsets in zip(LETTERS, found.groups(), strict=True)
        for number, offset in enumerate(offsets.split(".")[:-1])
    }


def _offsets(topic: Topic, position: Position) -> str:
    count = sum(place.startswith(f"{topic}/") for place in position)
    return "".join(f"{position.get(f'{topic}/{number}', 0)}." for number in range(count))


class Topical(StrEnum):
    """What is told. LOW and BACK are edges, told once as they are crossed; AVAILABILITY is told as it changes."""

    LOW = "low"
    BACK = "back"
    AVAILABILITY = "availability"


@dataclass(frozen=True, slots=True)
class News:
    """One piece of news.

    Attributes:
        locations: where it happened.
        event_id: the same whenever it is read.
        time: as the event has it, RFC 3339.
        data: JSON, as it is told.
        place: the partition it was read from, `topic/partition`.
    """

    about: Topical
    sku: str
    locations: frozenset[str]
    event_id: str
    type: str
    time: str
    data: str
    place: str
    offset: int


@dataclass(frozen=True, slots=True)
class Choice:
    """Which news somebody wants; what is empty chooses all. Names are folded, as those are that differ only in case."""

    about: frozenset[Topical] = frozenset()
    skus: frozenset[str] = frozenset()
    locations: frozenset[str] = frozenset()

    @classmethod
    def of(cls, about: Iterable[Topical], skus: Iterable[str], locations: Iterable[str]) -> Choice:
        """Choose by names as somebody wrote them."""
        return cls(frozenset(about), frozenset(map(fold, skus)), frozenset(map(fold, locations)))

    def takes(self, news: News) -> bool:
        """Say whether a piece of news is wanted."""
        return (
            (not self.about or news.about in self.about)
            and (not self.skus or fold(news.sku) in self.skus)
            and (not self.locations or not self.locations.isdisjoint(map(fold, news.locations)))
        )


class Novelty:
    """What is new of what is read: a relay that was killed publishes again, and not every change is of availability.

    It remembers the latest SKUs and edges only; of what it has forgotten, everything counts as new.
    """

    def __init__(self, remembered: int) -> None:
        self._remembered = remembered
        self._edges: OrderedDict[str, None] = OrderedDict()
        self._available: OrderedDict[str, Mapping[str, int]] = OrderedDict()

    def edge(self, event_id: str) -> bool:
        """Say whether an edge was not heard of before."""
        known = event_id in self._edges
        self._edges[event_id] = None
        self._trim(self._edges)
        return not known

    def changed(self, sku: str, available: Mapping[str, int]) -> frozenset[str]:
        """Return the locations where what is available of a SKU is not what was heard last."""
        before = self._available.pop(sku, {})
        self._available[sku] = available
        self._trim(self._available)
        there = available.keys() | before.keys()
        return frozenset(where for where in there if available.get(where) != before.get(where))

    def _trim(self, kept: OrderedDict[str, None] | OrderedDict[str, Mapping[str, int]]) -> None:
        if len(kept) > self._remembered:
            kept.popitem(last=False)


class NewsLog:
    """The latest news in the order of arrival, and from where to where each partition is covered by it."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._news: deque[News] = deque()
        self._starts: dict[str, int] = {}
        self._next: dict[str, int] = {}
        self.arrived = 0
        """Pieces of news so far; each has the number that this was before it came."""

    @property
    def position(self) -> dict[str, int]:
        """How far each partition has been read."""
        return dict(self._next)

    def begin(self, position: Position) -> None:
        """Note from where partitions are read; of those that are being read already, nothing."""
        for place, offset in position.items():
            self._starts.setdefault(place, offset)
            self._next.setdefault(place, offset)

    def forget(self) -> None:
        """Begin anew: the topics were lost."""
        self.arrived += 1  # nobody goes on from a number of before
        self._news.clear()
        self._starts.clear()
        self._next.clear()

    def knows(self, place: str, offset: int) -> bool:
        """Say whether a record has been read already."""
        return offset < self._next.get(place, 0)

    def take(self, place: str, offset: int, news: News | None) -> None:
        """Note that a record has been read, and the news in it."""
        self._starts.setdefault(place, offset)
        self._next[place] = offset + 1
        if news is None:
            return
        self.arrived += 1
        self._news.append(news)
        if len(self._news) > self._capacity:
            gone = self._news.popleft()
            self._starts[gone.place] = gone.offset + 1

    def since(self, number: int) -> Sequence[News] | None:
        """Return what arrived from a number on, or None when some of it is here no more."""
        count = self.arrived - number
        return list(islice(self._news, len(self._news) - count, None)) if count <= len(self._news) else None

    def after(self, position: Position) -> Sequence[News] | None:
        """Return the news at and after a position, or None when some of it may not be here."""
        if any(start > position.get(place, 0) for place, start in self._starts.items()):
            return None
        return [news for news in self._news if news.offset >= position.get(news.place, 0)]
