"""A circuit breaker for asyncio.

States and rates follow Nygard's pattern as resilience4j made it common, with what its peers lack: a result
counts only in the era in which its call began, a permit that is never reported comes back after its lease,
and a cancelled call says nothing about the dependency.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar, cast

from .circuit import Circuit
from .guard import Guard, settle
from .permit import Permit
from .stream import guarded
from .window import FAST, SLOW

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

_entered: ContextVar[tuple[tuple[CircuitBreaker, Guard], ...]] = ContextVar("entered", default=())
"""What `async with breaker` entered in this task: a shared breaker has no place of its own for it."""


class CircuitBreaker(Circuit):
    """Guards one dependency: `await breaker.call(fetch, key)`, `async with breaker:`, `@breaker` or `stream`.

    Each way raises `CallNotPermitted` instead of calling while the breaker is open, and TimeoutError when the
    call runs into `call_deadline_s`.
    """

    async def call(self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Await `function(*args, **kwargs)` under guard; raises what it raises."""
        era = self._era
        if self._bounded or not era.admits_all:
            return await self._call_with(self.acquire(), function, *args, **kwargs)
        clock = self._clock
        started_s = clock()
        try:
            result = await function(*args, **kwargs)
        except BaseException as error:
            settle(self, Permit(era, started_s), error)
            raise
        if era is not self._era or self._is_bad_result is not None:
            self._judge_result(Permit(era, started_s), result)
        elif era.records:
            now_s = clock()
            if era.window.record(SLOW if now_s - started_s > self._slow_call_s else FAST, now_s):
                self._judge(era, now_s)
        return result

    def guard(self) -> Guard:
        """Return a guard for one block: `async with breaker.guard():`; it may be left in another task."""
        return Guard(self)

    async def __aenter__(self) -> Self:
        """Guard a block, to be left in the same task."""
        guard = Guard(self)
        timeout = guard.enter()
        if timeout is not None:
            await timeout.__aenter__()
        _entered.set((*_entered.get(), (self, guard)))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Report how the block ended."""
        entered = _entered.get()
        at = len(entered) - 1
        while entered[at][0] is not self:
            at -= 1
        _entered.set(entered[:at] + entered[at + 1 :])
        guard = entered[at][1]
        if guard.timeout is None:
            guard.leave(error)
        else:
            await guard.__aexit__(kind, error, trace)

    def stream(
        self, source: Callable[P, AsyncIterator[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> AsyncGenerator[T, None]:
        """Iterate `source(*args, **kwargs)` under guard until its end; see `resilience_guards.stream`."""
        return guarded(self, lambda: source(*args, **kwargs))

    def __call__(self, function: F) -> F:
        """Decorate a coroutine function or an async generator function.

        Raises:
            TypeError: for a plain function, whose return says nothing about what it started.
        """
        if inspect.isasyncgenfunction(function):

            @functools.wraps(function)
            def streaming(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
                return self.stream(function, *args, **kwargs)

            return cast("F", streaming)
        if not inspect.iscoroutinefunction(function):
            raise TypeError(f"{function!r} is neither a coroutine function nor an async generator function")

        @functools.wraps(function)
        async def calling(*args: Any, **kwargs: Any) -> Any:
            return await self.call(function, *args, **kwargs)

        return cast("F", calling)

    async def _call_with(
        self, permit: Permit, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        deadline_s = self.settings.call_deadline_s
        try:
            if deadline_s is None:
                result = await function(*args, **kwargs)
            else:
                async with asyncio.timeout(deadline_s) as timeout:
                    result = await function(*args, **kwargs)
        except BaseException as error:
            if deadline_s is not None and isinstance(error, TimeoutError) and timeout.expired():
                self.failed(permit)
            else:
                settle(self, permit, error)
            raise
        self._judge_result(permit, result)
        return result

    def _judge_result(self, permit: Permit, result: object) -> None:
        is_bad = self._is_bad_result
        if is_bad is not None and is_bad(result):
            self.failed(permit)
        else:
            self.succeeded(permit)
