"""Time as an argument: the real clock, and one that only moves when told."""

from __future__ import annotations

import asyncio
import heapq
import time
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Protocol

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
SETTLE_ROUNDS = 20


class Clock(Protocol):
    """What time it is, and waiting for it to pass."""

    def now(self) -> datetime:
        """Return the date and time, aware, in UTC. May jump."""
        ...

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start. Never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds of `monotonic`."""
        ...


class SystemClock:
    """The clock of this machine."""

    def now(self) -> datetime:
        """Return the date and time in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds of the system's monotonic clock."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait so many seconds."""
        await asyncio.sleep(seconds)


class ManualClock:
    """A clock for tests: sleepers wake when `advance` passes their time, in order.

    Args:
        now: the time that it shows first.
        jump: a sleep moves the clock by itself and returns after one turn of the event loop.
    """

    def __init__(self, now: datetime = EPOCH, *, jump: bool = False) -> None:
        self._start = now
        self._elapsed_s = 0.0
        self._jump = jump
        self._order = count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        """Return the time shown."""
        return self._start + timedelta(seconds=self._elapsed_s)

    def monotonic(self) -> float:
        """Return seconds since the clock was made."""
        return self._elapsed_s

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has been moved by so many seconds."""
        due_s = self._elapsed_s + max(0.0, seconds)
        if self._jump or seconds <= 0:
            self._elapsed_s = due_s
            await asyncio.sleep(0)
            return
        waker = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (due_s, next(self._order), waker))
        await waker

    async def advance(self, seconds: float) -> None:
        """Move forward; everyone who wakes on the way runs before the clock goes on."""
        until_s = self._elapsed_s + seconds
        await self._settle()
        while self._sleepers and self._sleepers[0][0] <= until_s:
            due_s, _, waker = heapq.heappop(self._sleepers)
            self._elapsed_s = max(self._elapsed_s, due_s)
            if not waker.done():
                waker.set_result(None)
                await self._settle()
        self._elapsed_s = until_s

    @property
    def sleepers(self) -> int:
        """How many tasks wait for this clock."""
        return sum(not waker.done() for _, _, waker in self._sleepers)

    @staticmethod
    async def _settle() -> None:
        for _ in range(SETTLE_ROUNDS):
            await asyncio.sleep(0)
