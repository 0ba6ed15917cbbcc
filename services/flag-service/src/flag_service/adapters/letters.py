"""Which of what could not be applied becomes a dead letter: each record once, over restarts and replicas."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from resilience_runtime.bus import Message

Send = Callable[[Message, Exception], Awaitable[bool]]


class Letters:
    """Sends a letter for a record that no letter was sent for.

    What was there when reading began and comes after the place that was kept on disk was missed by this
    replica, which sends it. What comes later is read by all replicas at once, and the one that leads sends it.

    Attributes:
        places: the offset up to which letters were dealt with, by `topic/partition`.
    """

    def __init__(self, send: Send, leads: Callable[[], bool], noted: Callable[[], None]) -> None:
        self._send = send
        self._leads = leads
        self._noted = noted
        self.places: dict[str, int] = {}

    def forget(self, topics: Iterable[str]) -> None:
        """Begin anew with topics whose log was lost."""
        gone = set(topics)
        self.places = {
            place: offset for place, offset in self.places.items() if place.rpartition("/")[0] not in gone
        }

    async def deal_with(self, message: Message, error: Exception, *, live: bool) -> None:
        """Send a letter for a record, unless that was done before or is another replica's part."""
        place = f"{message.topic}/{message.partition}"
        if message.offset < self.places.get(place, 0):
            return
        if (live and not self._leads()) or await self._send(message, error):
            self.places[place] = message.offset + 1
            self._noted()
