"""Which of what could not be applied becomes a dead letter: of each replica once, also over its restarts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from resilience_runtime.bus import Message

Send = Callable[[Message, Exception], Awaitable[bool]]


class Letters:
    """Sends a letter for a record that no letter was sent for.

    Each replica sends its own: a letter too many can be told by its place of origin, one that nobody sent since
    nobody led at that moment would be lost.

    Attributes:
        places: the offset up to which letters were dealt with, by `topic/partition`.
    """

    def __init__(self, send: Send, noted: Callable[[], None]) -> None:
        self._send = send
        self._noted = noted
        self.places: dict[str, int] = {}

    def forget(self, topics: Iterable[str]) -> None:
        """Begin anew with topics whose log was lost."""
        gone = set(topics)
        self.places = {
            place: offset for place, offset in self.places.items() if place.rpartition("/")[0] not in gone
        }

    async def deal_with(self, message: Message, error: Exception) -> None:
        """Send a letter for a record, unless that was done before."""
        place = f"{message.read_from or message.topic}/{message.partition}"
        if message.offset < self.places.get(place, 0):
            return
        if await self._send(message, error):
            self.places[place] = message.offset + 1
            self._noted()
