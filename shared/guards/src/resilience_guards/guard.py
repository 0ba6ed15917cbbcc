"""One guarded block: permit, deadline and report around whatever stands inside `async with`."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from .circuit import Circuit
from .permit import Permit


def settle(circuit: Circuit, permit: Permit, error: BaseException, took_s: float | None = None) -> None:
    """Report a call that ended with `error`.

    What is no `Exception` (CancelledError, GeneratorExit, KeyboardInterrupt) says nothing about the dependency.
    """
    if not isinstance(error, Exception) or circuit.settings.is_ignored(error):
        circuit.released(permit)
    elif circuit.settings.is_failure(error):
        circuit.failed(permit, took_s)
    else:
        circuit.succeeded(permit, took_s)


class Guard:
    """Guards one block, once: `async with breaker.guard():`."""

    __slots__ = ("_circuit", "_permit", "timeout")

    def __init__(self, circuit: Circuit) -> None:
        self._circuit = circuit

    def enter(self) -> asyncio.Timeout | None:
        """Take a permit; return the deadline to start, if there is one."""
        self._permit = self._circuit.acquire()
        deadline_s = self._circuit.settings.call_deadline_s
        self.timeout = None if deadline_s is None else asyncio.timeout(deadline_s)
        return self.timeout

    def leave(self, error: BaseException | None) -> None:
        """Report how the block ended."""
        if error is None:
            self._circuit.succeeded(self._permit)
        else:
            settle(self._circuit, self._permit, error)

    async def __aenter__(self) -> Self:
        """Take a permit and start the deadline."""
        timeout = self.enter()
        if timeout is not None:
            await timeout.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Report how the block ended.

        Raises:
            TimeoutError: the block ran into the deadline, which is a failure whatever `is_failure` says.
        """
        if self.timeout is not None:
            try:
                await self.timeout.__aexit__(kind, error, trace)
            except TimeoutError:
                self._circuit.failed(self._permit)
                raise
        self.leave(error)
