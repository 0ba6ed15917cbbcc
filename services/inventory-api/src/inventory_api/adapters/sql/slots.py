"""Places for calls at once, of which the next one that is free goes to whoever matters most."""

from __future__ import annotations

import asyncio
from collections import deque


class Slots:
    """A semaphore of two classes, each first come, first served. asyncio's has one class.

    Args:
        count: places, 1 or more.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._first: deque[asyncio.Future[None]] = deque()
        self._rest: deque[asyncio.Future[None]] = deque()

    async def acquire(self, *, first: bool = False) -> None:
        """Wait for a place; `first` before all who wait and are not."""
        if self._free:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        (self._first if first else self._rest).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release()  # given and cancelled in one turn of the event loop
            raise

    def release(self) -> None:
        """Give a place back."""
        for waiting in (self._first, self._rest):
            while waiting:
                turn = waiting.popleft()
                if not turn.done():
                    turn.set_result(None)
                    return
        self._free += 1
