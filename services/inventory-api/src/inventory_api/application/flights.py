"""Fetching in few, larger groups: what is asked for at once, or while enough is under way, is fetched together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

V = TypeVar("V")

SIDE_BY_SIDE = 2
PATIENCE_S = 0.05


class Flights(Generic[V]):
    """Whoever asks for a key that is on its way waits for that flight.

    With few who ask, each flight leaves at once. With many, a key waits for one of the flights before it, and shares
    its own with all others that come meanwhile. A flight that is still away after `PATIENCE_S` keeps nobody waiting.

    Args:
        fetch: returns the values of the keys that exist.
    """

    def __init__(self, fetch: Callable[[Sequence[str]], Awaitable[dict[str, V]]]) -> None:
        self._fetch = fetch
        self._by_key: dict[str, asyncio.Task[dict[str, V]]] = {}
        self._boarding: list[str] = []
        self._next: asyncio.Task[dict[str, V]] | None = None
        self._room = asyncio.Semaphore(SIDE_BY_SIDE)

    def join(self, keys: Sequence[str]) -> set[asyncio.Task[dict[str, V]]]:
        """Return the flights that bring these; each raises what `fetch` raises."""
        for key in keys:
            if key not in self._by_key:
                if self._next is None:
                    self._next = asyncio.create_task(self._fly(), name="flight")
                    self._next.add_done_callback(_note)
                self._by_key[key] = self._next
                self._boarding.append(key)
        return {self._by_key[key] for key in keys}

    async def _fly(self) -> dict[str, V]:
        keys: list[str] = []
        try:
            await self._room.acquire()
            keys, self._boarding, self._next = self._boarding, [], None
            return await self._fetch_patiently(keys)
        finally:
            for key in keys:
                del self._by_key[key]

    async def _fetch_patiently(self, keys: list[str]) -> dict[str, V]:
        has_room = True

        def make_room() -> None:
            nonlocal has_room
            if has_room:
                has_room = False
                self._room.release()

        late = asyncio.get_running_loop().call_later(PATIENCE_S, make_room)
        try:
            return await self._fetch(keys)
        finally:
            late.cancel()
            make_room()


def _note(flight: asyncio.Task[Any]) -> None:
    """Nobody may be waiting any more for one that failed."""
    if not flight.cancelled():
        flight.exception()
