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


class _Item(NamedTuple):
    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers


class PublishQueue:
    """Sends what is offered, in order, and keeps trying; when it is full, the oldest makes room.

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
        self._offered = asyncio.Event()
        self.dropped = 0
        self.rejected = 0
        self.published = 0

    def __len__(self) -> int:
        return len(self._waiting)

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
                await self._send_all()
                self._offered.clear()
                await self._offered.wait()
        except asyncio.CancelledError:
            await self._flush()
            raise

    async def _send_all(self) -> None:
        while self._waiting:
            item = self._waiting[0]
            try:
                await self._publisher.publish(*item, deadline_s=self._deadline_s)
            except PublishRejectedError as error:
                self.rejected += 1
                log.error("record rejected", topic=item.topic, reason=str(error))  # noqa: TRY400 - the reason says it all
            except PublishError as error:
                log.warning("publishing failed", topic=item.topic, reason=str(error), waiting=len(self))
                await self._clock.sleep(self._backoff.next_s())
                continue
            else:
                self.published += 1
                self._backoff.reset()
            self._forget(item)

    def _forget(self, item: _Item) -> None:
        # While it was being sent, newer ones may have pushed it out.
        if self._waiting and self._waiting[0] is item:
            self._waiting.popleft()

    async def _flush(self) -> None:
        try:
            async with asyncio.timeout(FLUSH_S):
                while self._waiting:
                    await self._publisher.publish(*self._waiting[0], deadline_s=FLUSH_S)
                    self._waiting.popleft()
        except (PublishError, TimeoutError) as error:
            log.warning("records lost at the end", waiting=len(self), reason=str(error))

    def _note_drop(self) -> None:
        self.dropped += 1
        if self.dropped & (self.dropped - 1) == 0:
            log.warning("queue full, oldest dropped", capacity=self._capacity, dropped=self.dropped)


FLUSH_S = 1.0
