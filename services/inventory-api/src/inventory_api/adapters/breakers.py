"""The circuit breakers in front of the four dependencies, and their reports to the engine."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from itertools import count
from random import Random

import structlog

from resilience_contracts import BreakerReport, BreakerState, Encoded, HealthObserved, Policy, encode
from resilience_guards import BreakerEvent, BreakerSettings, CircuitBreaker, State
from resilience_runtime import Clock, current_traceparent

from .sql.database import DEPENDENCY

log = structlog.get_logger(__name__)

POLL_S = 0.25
RETURN_S = 0.2
FELT_RATE = 0.1
"""A share of failed calls that costs the dependency points."""
HALF_WELL_RATE = 0.5
"""Enough to keep the overall score under the boundary of OPTIMAL; not enough for DOWN."""

Judge = Callable[[Exception], bool]


def build_breakers(
    policy: Policy,
    harmless: Mapping[str, Judge],
    rng: Random,
    monotonic: Callable[[], float] = time.monotonic,
) -> dict[str, CircuitBreaker]:
    """Build a breaker for each dependency of the policy.

    Args:
        policy: holds the settings.
        harmless: by dependency, whether an exception says that the dependency is well.
        rng: spreads the waits.
        monotonic: seconds that the waits are counted in.
    """
    return {
        name: CircuitBreaker(name, _settings(policy, name, harmless.get(name, _never)), monotonic, rng)
        for name in policy.dependencies
    }


def deadline_s(policy: Policy, name: str) -> float:
    """Return the bound on one call of a dependency."""
    return policy.dependencies[name].breaker.call_deadline_ms / 1000


def _settings(policy: Policy, name: str, harmless: Judge) -> BreakerSettings:
    given = policy.dependencies[name].breaker
    return BreakerSettings(
        window_calls=given.window_calls,
        minimum_calls=given.minimum_calls,
        failure_rate=given.failure_rate_percent / 100,
        slow_call_s=given.slow_call_ms / 1000,
        slow_rate=given.slow_rate_percent / 100,
        open_wait_s=given.open_wait_s,
        open_wait_cap_s=given.open_wait_cap_s,
        half_open_on_time=True,
        half_open_permits=given.half_open_permits,
        permit_lease_s=deadline_s(policy, name) * 4,
        call_deadline_s=deadline_s(policy, name),
        is_failure=lambda error: not harmless(error),
    )


def _never(_: Exception) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Identity:
    """Who reports: the replica, and which life of it."""

    scope: str
    observer: str
    boot: str
    source: str


class BreakerReports:
    """Tells the engine of each breaker: at once when its state changes, and in every interval.

    While `half_well` says so, PostgreSQL counts as half well at most. It is back, but what was accepted for it is not in
    it yet; or it answers what is read and takes no write. The level must not be the best one then.
    """

    def __init__(
        self,
        breakers: Mapping[str, CircuitBreaker],
        policy: Policy,
        identity: Identity,
        clock: Clock,
        offer: Callable[[Encoded], None],
        *,
        half_well: Callable[[], bool],
    ) -> None:
        self._breakers = breakers
        self._policy = policy
        self._identity = identity
        self._clock = clock
        self._offer = offer
        self._half_well = half_well
        self._sequence = count()
        self._due_s = dict.fromkeys(breakers, float("-inf"))
        self.changes: Counter[tuple[str, str]] = Counter()
        for breaker in breakers.values():
            breaker.on_event(self._changed)

    async def run(self) -> None:
        """Report for ever; a wait that is over is told of though nobody calls."""
        while True:
            for breaker in self._breakers.values():
                breaker.poll()
            now_s = self._clock.monotonic()
            for name in [name for name, due_s in self._due_s.items() if due_s <= now_s]:
                self.report(name)
            await self._clock.sleep(POLL_S)

    def report(self, name: str) -> None:
        """Report one breaker now, in the trace of the call that changed it, if one did."""
        self._due_s[name] = self._clock.monotonic() + self._policy.dependencies[name].interval_s
        self._offer(encode(self._event(name), self._identity.source, current_traceparent()))

    def _changed(self, event: BreakerEvent) -> None:
        if event.previous is event.state:
            return
        log.warning(
            "breaker",
            dependency=event.breaker,
            previous=event.previous.value,
            state=event.state.value,
            cause=event.cause.value,
        )
        self.changes[event.breaker, event.state.value] += 1
        self.report(event.breaker)

    def _event(self, name: str) -> HealthObserved:
        seen = self._breakers[name].snapshot()
        report = BreakerReport(
            state=BreakerState(seen.state.value),
            failure_rate=self._failure_rate(name, seen.failure_rate),
            slow_rate=seen.slow_rate,
            interval_s=self._policy.dependencies[name].interval_s,
        )
        return HealthObserved(
            scope=self._identity.scope,
            dependency=name,
            observer=self._identity.observer,
            boot=self._identity.boot,
            sequence=next(self._sequence),
            observed_at=self._clock.now(),
            breaker=report,
        )

    def _failure_rate(self, name: str, seen: float | None) -> float | None:
        if name == DEPENDENCY and self._half_well():
            return max(seen or 0.0, HALF_WELL_RATE)
        return seen


class Returning:
    """Calls a dependency whose breaker has opened, or has counted so many failures that the level feels them.

    While its features are off nobody else does: the breaker would stay open, and the level down, for ever. And in a
    quiet shop the failures of an outage that was too short to open it would be remembered for minutes.
    """

    def __init__(self, breaker: CircuitBreaker, check: Callable[[], Awaitable[object]], clock: Clock) -> None:
        self._breaker = breaker
        self._check = check
        self._clock = clock

    async def run(self) -> None:
        """Watch for ever."""
        while True:
            if self._owed() and self._breaker.is_call_permitted():
                try:
                    await self._check()
                except Exception as error:  # noqa: BLE001 - the breaker has counted it; the next wait is its
                    log.info("still away", dependency=self._breaker.name, reason=type(error).__name__)
            await self._clock.sleep(RETURN_S)

    def _owed(self) -> bool:
        if self._breaker.state is State.CLOSED:
            return (self._breaker.snapshot().failure_rate or 0.0) >= FELT_RATE
        return self._breaker.state in {State.OPEN, State.HALF_OPEN}
