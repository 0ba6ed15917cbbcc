"""What is news to a subscriber of webhooks: of the latest that are kept here, or else of the topics themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from inventory_api.domain.news import News, NewsLog, Position
from inventory_api.domain.subscription import Subscription, message_of
from resilience_delivery import News as Told
from resilience_delivery import Progress
from resilience_delivery.message import Message, size_of

STORE_EVERY = 1_000
"""A position is stored with messages, and without any once it has come so many records further."""

ROOM_LEAST = 20_000
"""Bytes of room in a record below which nothing more is looked for, until some of what waits has been sent."""

_Key = tuple[tuple[str, int], ...]
_Mark = tuple[int, dict[str, int]]


class Archive(Protocol):
    """The topics, from any position that they still reach back to."""

    async def read(self, position: Position) -> tuple[Sequence[News], dict[str, int]]:
        """Return some of the next news, and the position that they lead to.

        Raises:
            RuntimeFault: they cannot be read now.
        """
        ...


class Newsroom:
    """Finds, for each subscription, what is next; it remembers how far it looked without finding anything."""

    def __init__(self, log: NewsLog, archive: Archive) -> None:
        self._log = log
        self._archive = archive
        self._marks: dict[str, dict[_Key, _Mark]] = {}

    async def news(self, subscription: Subscription, progress: Progress) -> Told:
        """Return the next messages for a subscriber, as many as its record has room for.

        Raises:
            RuntimeFault: the topics cannot be read now.
        """
        if progress.pending and progress.room < ROOM_LEAST:
            return Told(())
        began = progress.position or subscription.begins
        number, position = self._marks.get(subscription.id, {}).get(_key(began), (-1, dict(began)))
        found = self._log.since(number) if number >= 0 else None
        if found is None:
            found = self._log.after(position)
        if found is None:
            found, reached = await self._archive.read(position)
            messages, stopped = _taken(found, position, subscription, progress)
            return Told(messages, stopped or reached)
        return self._kept_here(found, (number, position), subscription, progress)

    def _kept_here(
        self, found: Sequence[News], mark: _Mark, subscription: Subscription, progress: Progress
    ) -> Told:
        began = progress.position or subscription.begins
        messages, stopped = _taken(found, mark[1], subscription, progress)
        if stopped is not None:
            # The rest is looked for anew by its position, once there is room.
            self._marks.pop(subscription.id, None)
            return Told(messages, stopped if messages else None)
        reached: _Mark = (self._log.arrived, self._log.position)
        if not messages and _far(began, reached[1]) < STORE_EVERY:
            self._marks[subscription.id] = {_key(began): reached}
            return Told(())
        # Both, as storing may fail: then the same is found again.
        self._marks[subscription.id] = {_key(began): mark, _key(reached[1]): reached}
        return Told(messages, reached[1])


def _taken(
    found: Sequence[News], position: Mapping[str, int], subscription: Subscription, progress: Progress
) -> tuple[list[Message], dict[str, int] | None]:
    """Return the messages that there is room for, and where they stop if they are not all."""
    choice, room = subscription.choice, progress.room
    empty = not progress.pending
    messages: list[Message] = []
    reached = dict(position)
    for news in found:
        if news.offset < position.get(news.place, 0):
            continue
        if choice.takes(news):
            message = message_of(news)
            room -= size_of(message)
            if room < 0 and (messages or not empty):
                return messages, reached
            messages.append(message)
        reached[news.place] = news.offset + 1
    return messages, None


def _key(position: Mapping[str, int]) -> _Key:
    return tuple(sorted(position.items()))


def _far(position: Mapping[str, int], reached: Mapping[str, int]) -> int:
    return sum(offset - position.get(place, 0) for place, offset in reached.items())
