"""One call for many callers who ask for the same thing at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SingleFlight(Generic[K, V]):
    """Joins concurrent calls by key. A result or an error goes to all who waited and is not kept."""

    def __init__(self) -> None:
        self._flights: dict[K, _Flight[V]] = {}

    def __len__(self) -> int:
        """Number of calls in flight."""
        return len(self._flights)

    async def do(self, key: K, call: Callable[[], Awaitable[V]]) -> V:
        """Return the result of the call in flight for `key`, starting it when there is none.

        Cancelling one waiter cancels nobody else. When the last waiter leaves, the call is cancelled, and who
        asks then starts a new one.
        """
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(call)
            flight.task.add_done_callback(lambda _: self._land(key, flight))
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.task.done():
                self._land(key, flight)
                flight.task.cancel()

    def _land(self, key: K, flight: _Flight[V]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
        if flight.task.done() and not flight.task.cancelled():
            flight.task.exception()  # taken, so that asyncio does not report an error nobody waited for


class _Flight(Generic[V]):
    """A call under way and how many wait for it."""

    def __init__(self, call: Callable[[], Awaitable[V]]) -> None:
        self.waiting = 0
        self.task: asyncio.Task[V] = asyncio.ensure_future(_run(call))


async def _run(call: Callable[[], Awaitable[V]]) -> V:
    return await call()
