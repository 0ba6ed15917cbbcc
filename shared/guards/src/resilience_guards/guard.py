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

    __slots__ = ("_circuit", "_permit", "_timeout")

    def __init__(self, circuit: Circuit) -> None:
        self._circuit = circuit

    async def __aenter__(self) -> Self:
        """Take a permit and start the deadline."""
        self._permit = self._circuit.acquire()
        deadline_s = self._circuit.settings.call_deadline_s
        self._timeout = None if deadline_s is None else asyncio.timeout(deadline_s)
        if self._timeout is not None:
            await self._timeout.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Report how the block ended.

        Raises:
            TimeoutError: the block ran into the deadline, which is a failure whatever `is_failure` says.
        """
        if self._timeout is not None:
            try:
                await self._timeout.__aexit__(kind, error, trace)
            except TimeoutError:
                self._circuit.failed(self._permit)
                raise
        if error is None:
            self._circuit.succeeded(self._permit)
        else:
            settle(self._circuit, self._permit, error)
