"""A fixed number of places for calls to one thing, with a bounded queue in front."""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType
from typing import Self

from .errors import BulkheadFull


class Bulkhead:
    """Lets `places` blocks run at once and `queue` more wait, first come first served: `async with bulkhead:`.

    Args:
        places: blocks that run at once.
        queue: blocks that may wait for a place.
        wait_s: how long one waits at most. None: for ever.
    """

    def __init__(self, places: int, queue: int = 0, wait_s: float | None = None) -> None:
        if places < 1 or queue < 0:
            raise ValueError("at least one place and no negative queue is needed")
        self._free = places
        self._queue = queue
        self._wait_s = wait_s
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def free(self) -> int:
        """Places not taken."""
        return self._free

    @property
    def waiting(self) -> int:
        """Blocks in the queue."""
        return len(self._waiting)

    async def __aenter__(self) -> Self:
        """Take a place.

        Raises:
            BulkheadFull: at once when the queue is full, or after `wait_s` in it.
        """
        if self._free:
            self._free -= 1
        elif len(self._waiting) < self._queue:
            await self._wait()
        else:
            raise BulkheadFull
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hand the place to who has waited longest."""
        self._hand_over()

    async def _wait(self) -> None:
        place = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            async with asyncio.timeout(self._wait_s):
                await place
        except TimeoutError:
            self._leave(place)
            raise BulkheadFull from None
        except BaseException:
            self._leave(place)
            raise

    def _leave(self, place: asyncio.Future[None]) -> None:
        if place in self._waiting:
            self._waiting.remove(place)
        elif place.done() and not place.cancelled():
            self._hand_over()  # the place came in the same turn in which the wait ended

    def _hand_over(self) -> None:
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                return
        self._free += 1
