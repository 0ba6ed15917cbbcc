"""What has come in over all connections and waits to be read.

An event loop hands over whatever has come in before anything else goes on. When a thousand clients ask at once, a
request under way then waits for a thousand others to be read, and answered or refused, at each step of its own. So what
is under way goes first: between two readings it may take some steps, each of which is a turn of the event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

TURN_S = 0.004
STEPS = 12
"""Turns of the event loop between two readings: about what a write takes with its round trips to a database."""
FEW = 4
"""After so few nobody rests: they cost others nothing, and a step costs as much as a tenth of a small request."""
CROWD = 100
"""Where so many wait nobody rests: nearly all of them will be refused, which is quick."""


class Reader(Protocol):
    """A connection."""

    def read(self, data: bytes) -> None:
        """Take what it has received, in the order in which that came; must not wait."""


class Intake:
    """Lets connections read for some milliseconds and then rest for `STEPS`, in the order in which data came.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._first: deque[tuple[Reader, bytes]] = deque()
        self._rest: deque[tuple[Reader, bytes]] = deque()
        self._called = False

    def __len__(self) -> int:
        return len(self._first) + len(self._rest)

    def put(self, reader: Reader, data: bytes, *, first: bool = False) -> None:
        """Have data read in one of the next turns of the event loop.

        Args:
            reader: whose it is.
            data: what came.
            first: it goes before what came before it. Not for a connection of which something waits already.
        """
        (self._first if first else self._rest).append((reader, data))
        if not self._called:
            self._called = True
            asyncio.get_running_loop().call_soon(self._read_some)

    def _read_some(self) -> None:
        until_s, before = self._clock() + TURN_S, len(self)
        while waiting := self._first or self._rest:
            reader, data = waiting.popleft()
            reader.read(data)
            if self._clock() >= until_s:
                break
        left = len(self)
        much = bool(left) or before > FEW
        self._rest_for(STEPS if much and left < CROWD else 0)

    def _rest_for(self, steps: int) -> None:
        loop = asyncio.get_running_loop()
        if steps:
            loop.call_soon(self._rest_for, steps - 1)
        elif len(self):
            loop.call_soon(self._read_some)
        else:
            self._called = False
