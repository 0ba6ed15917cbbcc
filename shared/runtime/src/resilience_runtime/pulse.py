"""Waiting for the state to change, without polling."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Pulse:
    """Beats when something changed; any number of tasks may wait for it."""

    def __init__(self) -> None:
        self._next = asyncio.Event()
        self.beats = 0

    def beat(self) -> None:
        """Wake everyone who waits."""
        self.beats += 1
        self._next.set()
        self._next = asyncio.Event()

    async def wait(self, timeout_s: float | None) -> None:
        """Return at the next beat, or after the time is over."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._next.wait()
        except TimeoutError:
            return

    async def until(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Return True once a condition holds at a beat, False when that takes too long."""
        try:
            async with asyncio.timeout(timeout_s):
                while not condition():
                    await self._next.wait()
        except TimeoutError:
            return condition()
        return True
