"""An async iterator under guard from its first item to its end.

The end of the source is a success, an exception a failure, and leaving early says nothing. Each wait for an item
is judged as a call would be, by the deadline and by the slow-call limit: how long the stream lasts, or how long
its reader takes between items, does not speak against the dependency.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import TypeVar

from .circuit import Circuit
from .guard import settle
from .permit import Permit

T = TypeVar("T")


class _Reading:
    """One stream being read: its permit and the longest wait so far."""

    def __init__(self, circuit: Circuit, permit: Permit) -> None:
        self._circuit = circuit
        self._permit = permit
        self._longest_s = 0.0

    async def next(self, source: AsyncIterator[T]) -> T:
        circuit = self._circuit
        started_s = circuit.now_s()
        timeout = asyncio.timeout(circuit.settings.call_deadline_s)
        try:
            async with timeout:
                return await anext(source)
        except TimeoutError:
            if timeout.expired():
                circuit.failed(self._permit)
            raise
        finally:
            self._longest_s = max(self._longest_s, circuit.now_s() - started_s)
            circuit.renew(self._permit)

    def ended(self) -> None:
        self._circuit.succeeded(self._permit, self._longest_s)

    def broken(self, error: BaseException) -> None:
        if not self._permit.spent:
            settle(self._circuit, self._permit, error, self._longest_s)


async def guarded(circuit: Circuit, start: Callable[[], AsyncIterator[T]]) -> AsyncGenerator[T, None]:
    """Yield what `start()` yields; the permit is taken at the first item asked for.

    Raises:
        CallNotPermitted: before anything is started.
        TimeoutError: an item took longer than `call_deadline_s`.
    """
    reading = _Reading(circuit, circuit.acquire())
    try:
        source = start()
        try:
            while True:
                try:
                    item = await reading.next(source)
                except StopAsyncIteration:
                    break
                yield item
        finally:
            close = getattr(source, "aclose", None)
            if close is not None:
                await close()
    except BaseException as error:
        reading.broken(error)
        raise
    reading.ended()
