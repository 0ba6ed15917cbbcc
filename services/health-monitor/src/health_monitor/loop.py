"""The monitor: probes every dependency for ever, and says what it saw."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Protocol

import structlog

from resilience_contracts import HealthObserved, Observation, Outcome, ProbeReport
from resilience_runtime import Clock, NoTracing, Tracing

from .attempt import Attempts
from .domain import Result, Schedule, Window, phase_s

AFTER_BUG_S = 1.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who observes. `boot` changes with each start, so that sequence numbers may begin again."""

    scope: str
    observer: str
    boot: str


@dataclass(frozen=True, slots=True)
class Target:
    """One dependency and how it is probed."""

    dependency: str
    attempts: Attempts
    interval_s: float
    deadline_s: float


class Watcher(Protocol):
    """Is told of each observation, beside the topic: metrics, the HTTP board, the self-check."""

    def observed(self, dependency: str, window: Window) -> None:
        """Take note. Called on the loop: must not block; what it raises is logged."""


class Monitor:
    """Probes each target on its own schedule, at most `slots` at once.

    Args:
        emit: takes each event; never blocks and never raises.
        watchers: told of each observation after the event went out.
    """

    def __init__(
        self,
        *,
        identity: Identity,
        targets: Sequence[Target],
        clock: Clock,
        random: Random,
        emit: Callable[[HealthObserved], None],
        watchers: Sequence[Watcher],
        slots: int,
        tracing: Tracing | None = None,
    ) -> None:
        self._identity = identity
        self._targets = targets
        self._clock = clock
        self._random = random
        self._emit = emit
        self._watchers = watchers
        self._slots = asyncio.Semaphore(slots)
        self._tracing = tracing or NoTracing()
        self._sequence = count()

    async def run(self) -> None:
        """Probe until cancelled."""
        shortest_s = min((target.interval_s for target in self._targets), default=1.0)
        start_s = self._clock.monotonic()
        try:
            async with asyncio.TaskGroup() as group:
                for index, target in enumerate(self._targets):
                    origin_s = phase_s(start_s, index, len(self._targets), shortest_s)
                    group.create_task(self._watch(target, Schedule(target.interval_s, origin_s)))
        finally:
            closing = (target.attempts.close() for target in self._targets)
            await asyncio.gather(*closing, return_exceptions=True)

    async def _watch(self, target: Target, schedule: Schedule) -> None:
        window = Window()
        due_s = schedule.phase_s
        while True:
            await self._clock.sleep(max(0.0, due_s - self._clock.monotonic()))
            try:
                with self._tracing.span(f"probe {target.dependency}"):
                    window = await self._round(target, window)
                due_s = schedule.next_due_s(self._clock.monotonic(), window, self._random)
            except Exception:
                log.exception("the loop has a bug", dependency=target.dependency)
                due_s = self._clock.monotonic() + AFTER_BUG_S

    async def _round(self, target: Target, window: Window) -> Window:
        try:
            result = await self._attempt(target)
        except asyncio.CancelledError:
            self._note(target, window, Result(Outcome.CANCELLED, 0))
            raise
        return self._note(target, window, result)

    async def _attempt(self, target: Target) -> Result:
        try:
            async with asyncio.timeout(target.deadline_s):
                await self._slots.acquire()
        except TimeoutError:
            return Result(Outcome.NOT_RUN, 0, "no probe slot was free")
        try:
            return await target.attempts.run()
        finally:
            self._slots.release()

    def _note(self, target: Target, window: Window, result: Result) -> Window:
        seen = Observation(outcome=result.outcome, latency_ms=result.latency_ms, at=self._clock.now())
        window = window.add(result, seen)
        self._emit(self._event(target, window, seen))
        for watcher in self._watchers:
            self._tell(watcher, target.dependency, window)
        return window

    def _event(self, target: Target, window: Window, seen: Observation) -> HealthObserved:
        return HealthObserved(
            scope=self._identity.scope,
            dependency=target.dependency,
            observer=self._identity.observer,
            boot=self._identity.boot,
            sequence=next(self._sequence),
            observed_at=seen.at,
            probe=ProbeReport(
                recent=window.recent,
                interval_s=target.interval_s,
                retry_after_s=window.last.retry_after_s if window.last else None,
            ),
        )

    def _tell(self, watcher: Watcher, dependency: str, window: Window) -> None:
        try:
            watcher.observed(dependency, window)
        except Exception:
            log.exception("a watcher has a bug", dependency=dependency)
