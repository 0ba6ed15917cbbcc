"""Publishing that never holds up the producer: a bounded queue before a publisher."""

from __future__ import annotations

import asyncio
from collections import deque
from random import Random
from typing import NamedTuple

import structlog

from .backoff import Backoff
from .bus import EventPublisher, Headers, PublishError, PublishRejectedError
from .clock import Clock, SystemClock

log = structlog.get_logger(__name__)

FLUSH_S = 1.0


class _Item(NamedTuple):
    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers


class PublishQueue:
    """Sends what is offered, in order, and keeps trying; when it is full, the oldest makes room.

    Holds at most `capacity` records beside the one that is being sent.

    Attributes:
        dropped: how many made room for newer ones.
        rejected: how many the bus refused for good.
        published: how many were stored.
    """

    def __init__(
        self,
        publisher: EventPublisher,
        capacity: int = 1000,
        clock: Clock | None = None,
        *,
        deadline_s: float = 5.0,
        random: Random | None = None,
    ) -> None:
        if capacity < 1:
            raise ValueError("a queue holds at least one record")
        self._publisher = publisher
        self._capacity = capacity
        self._clock = clock or SystemClock()
        self._deadline_s = deadline_s
        self._backoff = Backoff(random or Random())  # noqa: S311 - spreads retries, guards nothing
        self._waiting: deque[_Item] = deque()
        self._sending: _Item | None = None
        self._offered = asyncio.Event()
        self.dropped = 0
        self.rejected = 0
        self.published = 0

    def __len__(self) -> int:
        return len(self._waiting) + (self._sending is not None)

    def offer(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers = ()) -> None:
        """Take a record to be sent. Never blocks, never raises."""
        if len(self._waiting) >= self._capacity:
            self._waiting.popleft()
            self._note_drop()
        self._waiting.append(_Item(topic, key, value, headers))
        self._offered.set()

    async def run(self) -> None:
        """Send for ever; on cancellation one last try is made for what waits."""
        try:
            while True:
                while len(self):
                    await self._send_next()
                self._offered.clear()
                await self._offered.wait()
        except asyncio.CancelledError:
            await self._flush()
            raise

    async def _send_next(self) -> None:
        item = self._sending = self._sending or self._waiting.popleft()
        try:
            await self._publisher.publish(*item, deadline_s=self._deadline_s)
        except PublishRejectedError as error:
            self.rejected += 1
            log.error("record rejected", topic=item.topic, reason=str(error))  # noqa: TRY400 - the reason says it all
        except PublishError as error:
            log.warning("publishing failed", topic=item.topic, reason=str(error), waiting=len(self))
            await self._clock.sleep(self._backoff.next_s())
            if len(self._waiting) < self._capacity:
                return
            self._note_drop()
        else:
            self.published += 1
            self._backoff.reset()
        self._sending = None

    async def _flush(self) -> None:
        try:
            async with asyncio.timeout(FLUSH_S):
                while len(self):
                    await self._send_next()
        except TimeoutError:
            log.warning("records lost at the end", waiting=len(self))

    def _note_drop(self) -> None:
        self.dropped += 1
        if self.dropped & (self.dropped - 1) == 0:
            log.warning("queue full, oldest dropped", capacity=self._capacity, dropped=self.dropped)
