"""A circuit breaker for asyncio.

States and rates follow Nygard's pattern as resilience4j made it common, with what its peers lack: a result
counts only in the era in which its call began, a permit that is never reported comes back after its lease,
and a cancelled call says nothing about the dependency.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from math import inf
from random import Random
from typing import ParamSpec, TypeVar

from .errors import CallNotPermitted
from .settings import BreakerSettings
from .window import FAILED, SLOW, CountWindow

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)


class State(StrEnum):
    """What a breaker does with calls."""

    CLOSED = "CLOSED"
    OPEN = "OPEN"
    HALF_OPEN = "HALF_OPEN"
    FORCED_OPEN = "FORCED_OPEN"
    DISABLED = "DISABLED"
    METRICS_ONLY = "METRICS_ONLY"


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of state and its cause."""

    breaker: str
    previous: State
    state: State
    cause: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A breaker at one moment. Rates are None while too few calls are held to judge."""

    name: str
    state: State
    calls: int
    failure_rate: float | None
    slow_rate: float | None
    not_permitted: int
    retry_after_s: float


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave to make one call. Report it once with `succeeded`, `failed` or `released`."""

    era: int
    number: int
    started_s: float


Listener = Callable[[Transition], None]


class CircuitBreaker:
    """Guards one dependency. Belongs to one event loop; its own methods never block.

    Args:
        clock: monotonic seconds.
        rng: spreads the waits in OPEN.
    """

    def __init__(
        self,
        name: str,
        settings: BreakerSettings,
        clock: Callable[[], float] = time.monotonic,
        rng: Random | None = None,
    ) -> None:
        self.name = name
        self.settings = settings
        self._clock = clock
        self._rng = rng or Random()  # noqa: S311 - spreads load, keeps no secret
        self._listeners: list[Listener] = []
        self._leases: dict[int, float] = {}
        self._issued = self._era = self._openings = self._not_permitted = 0
        self._until_s = 0.0
        self._state = State.CLOSED
        self._window = CountWindow(settings.window_calls)

    @property
    def state(self) -> State:
        """The state; OPEN lasts until a call asks after the wait."""
        return self._state

    def on_event(self, listener: Listener) -> None:
        """Tell a listener of each transition; what it raises is logged and never reaches a call."""
        self._listeners.append(listener)

    def snapshot(self) -> Snapshot:
        """Return state, rates and counts, consuming nothing."""
        judged = self._window.total >= self._needed()
        return Snapshot(
            self.name,
            self._state,
            self._window.total,
            self._window.failure_rate() if judged else None,
            self._window.slow_rate() if judged else None,
            self._not_permitted,
            self._retry_after_s(),
        )

    def is_call_permitted(self) -> bool:
        """Say whether `acquire` would succeed now, consuming nothing."""
        match self._state:
            case State.OPEN:
                return self._clock() >= self._until_s
            case State.HALF_OPEN:
                now = self._clock()
                return sum(end > now for end in self._leases.values()) < self._free()
            case State.FORCED_OPEN:
                return False
            case _:
                return True

    def acquire(self) -> Permit:
        """Take a permit.

        Raises:
            CallNotPermitted: the breaker is open, or all probing permits are out.
        """
        now = self._clock()
        if self._state is State.OPEN and now >= self._until_s:
            self._move(State.HALF_OPEN, "the wait is over")
        if self._state in {State.OPEN, State.FORCED_OPEN}:
            self._refuse()
        if self._state is State.HALF_OPEN:
            self._reclaim(now)
            if len(self._leases) >= self._free():
                self._refuse()
        self._issued += 1
        permit = Permit(self._era, self._issued, now)
        if self._state is State.HALF_OPEN:
            self._leases[permit.number] = now + self.settings.permit_lease_s
        return permit

    def succeeded(self, permit: Permit) -> None:
        """Report that the call came back."""
        self._report(permit, 0)

    def failed(self, permit: Permit) -> None:
        """Report that the call speaks against the dependency."""
        self._report(permit, FAILED)

    def released(self, permit: Permit) -> None:
        """Give a permit back that says nothing, as after a cancellation."""
        self._leases.pop(permit.number, None)

    @asynccontextmanager
    async def guard(self) -> AsyncIterator[None]:
        """Guard a block: `async with breaker.guard():`.

        Raises:
            CallNotPermitted: the block was not entered.
            TimeoutError: the block ran into `call_deadline_s`, which is a failure.
        """
        permit = self.acquire()
        try:
            async with asyncio.timeout(self.settings.call_deadline_s):
                yield
        except (asyncio.CancelledError, GeneratorExit):
            self.released(permit)
            raise
        except BaseException as error:
            if self.settings.is_failure(error):
                self.failed(permit)
            else:
                self.succeeded(permit)
            raise
        else:
            self.succeeded(permit)

    async def call(self, function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Await a call under guard; raises what `guard` and the call raise."""
        async with self.guard():
            return await function(*args, **kwargs)

    def force_open(self) -> None:
        """Refuse every call until `reset`."""
        self._move(State.FORCED_OPEN, "forced")

    def disable(self) -> None:
        """Let every call through and count nothing until `reset`."""
        self._move(State.DISABLED, "disabled")

    def measure_only(self) -> None:
        """Let every call through and only count until `reset`."""
        self._move(State.METRICS_ONLY, "metrics only")

    def reset(self) -> None:
        """Close with an empty window."""
        self._openings = self._not_permitted = 0
        self._move(State.CLOSED, "reset")

    def _needed(self) -> int:
        size = self.settings.half_open_permits if self._probing else self.settings.window_calls
        return size if self._probing else min(self.settings.minimum_calls, size)

    @property
    def _probing(self) -> bool:
        return self._state is State.HALF_OPEN

    def _free(self) -> int:
        return self.settings.half_open_permits - self._window.total

    def _reclaim(self, now: float) -> None:
        for number in [n for n, end in self._leases.items() if end <= now]:
            del self._leases[number]

    def _refuse(self) -> None:
        self._not_permitted += 1
        raise CallNotPermitted(self.name, self._retry_after_s())

    def _retry_after_s(self) -> float:
        match self._state:
            case State.OPEN:
                return max(0.0, self._until_s - self._clock())
            case State.HALF_OPEN:
                return self.settings.open_wait_s
            case State.FORCED_OPEN:
                return inf
            case _:
                return 0.0

    def _report(self, permit: Permit, failed: int) -> None:
        leased = self._leases.pop(permit.number, None) is not None
        if permit.era != self._era or self._state is State.DISABLED or (self._probing and not leased):
            return
        slow = SLOW if self._clock() - permit.started_s > self.settings.slow_call_s else 0
        self._window.record(failed | slow)
        if self._window.total >= self._needed():
            self._decide()

    def _decide(self) -> None:
        window, settings = self._window, self.settings
        failing = window.failure_rate() >= settings.failure_rate
        over = failing or window.slow_rate() >= settings.slow_rate
        if over and self._state in {State.CLOSED, State.HALF_OPEN}:
            kind, rate = ("failure", window.failure_rate()) if failing else ("slow-call", window.slow_rate())
            self._move(State.OPEN, f"{kind} rate {rate:.0%} of {window.total} calls")
        elif self._probing:
            self._openings = 0
            self._move(State.CLOSED, f"{window.total} probing calls were good")

    def _move(self, state: State, cause: str) -> None:
        previous, self._state = self._state, state
        self._era += 1
        self._leases.clear()
        if state is State.OPEN:
            self._openings += 1
            self._until_s = self._clock() + self.settings.wait_s(self._openings, self._rng)
        else:
            size = self.settings.half_open_permits if self._probing else self.settings.window_calls
            self._window = CountWindow(size)
        self._tell(Transition(self.name, previous, state, cause))

    def _tell(self, transition: Transition) -> None:
        for listener in self._listeners:
            try:
                listener(transition)
            except Exception:
                log.exception("a listener of circuit breaker %r failed", self.name)
