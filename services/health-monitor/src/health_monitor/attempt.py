"""One probe, once, within its deadline: whatever the probe does, a result comes back in time."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from resilience_contracts import Outcome

from .domain import ProbeError, Result

CANCEL_GRACE_S = 0.25
# As many as confirm an outage: a driver that hangs for good may not hide one.
ABANDONED_LIMIT = 3
STALLED_SHARE = 0.5

log = structlog.get_logger(__name__)


class Probe(Protocol):
    """Does with a dependency what the services do with it."""

    async def check(self) -> None:
        """Do the real thing once, on connections that say something about now, without a retry.

        Returns if it worked. Raises `ProbeError` with the class of failure; any other exception is a bug of
        the probe. Waits only where it can be cancelled, and leaves no connection or task behind when it is.
        Is called again while an earlier check still runs only if that one ignored its cancellation.
        """

    async def close(self) -> None:
        """Release what is kept between checks; may be called after a check was cancelled. Never raises."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What is expected of a probe: from `objective_ms` on it is slow, at `deadline_s` it is cancelled."""

    objective_ms: float
    deadline_s: float


class Attempts:
    """Runs the probe of one dependency, one check at a time but for those that ignore their cancellation.

    Args:
        dependency: its name, for the log.
        limits: objective and deadline.
        stalled_s: for how long, in total, this process could not run its own tasks in time.
    """

    def __init__(self, dependency: str, probe: Probe, limits: Limits, stalled_s: Callable[[], float]) -> None:
        self._dependency = dependency
        self._probe = probe
        self._limits = limits
        self._stalled_s = stalled_s
        self._tasks: set[asyncio.Task[Result]] = set()

    async def run(self) -> Result:
        """Check once and say what came of it. Raises only `CancelledError`, when the caller is cancelled."""
        if len(self._tasks) >= ABANDONED_LIMIT:
            return Result(Outcome.NOT_RUN, 0, "probes before ignore their cancellation")
        started_s = time.perf_counter()
        stalled_before_s = self._stalled_s()
        task = asyncio.create_task(self._checked(), name=f"probe {self._dependency}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        result = await self._in_time(task)
        elapsed_s = time.perf_counter() - started_s
        stalled_s = max(
            self._stalled_s() - stalled_before_s, elapsed_s - self._limits.deadline_s - CANCEL_GRACE_S
        )
        return self._judged(result, elapsed_s, stalled_s)

    async def close(self) -> None:
        """Cancel what still runs and let the probe release what it keeps."""
        for task in tuple(self._tasks):
            await _cancel(task)
        await self._probe.close()

    async def _in_time(self, task: asyncio.Task[Result]) -> Result:
        try:
            await asyncio.wait({task}, timeout=self._limits.deadline_s)
        except asyncio.CancelledError:
            task.cancel()
            raise
        if task.done():
            return Result(Outcome.CANCELLED, 0) if task.cancelled() else task.result()
        await _cancel(task)
        if not task.done():
            log.error("probe ignores its cancellation", dependency=self._dependency)
        return Result(Outcome.TIMEOUT, 0)

    async def _checked(self) -> Result:
        try:
            await self._probe.check()
        except ProbeError as error:
            return Result(error.outcome, 0, error.detail, error.retry_after_s)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - not even SystemExit in a driver may stop the monitor
            log.critical("probe has a bug", dependency=self._dependency, **_without_message(error))
            return Result(Outcome.PROTOCOL, 0, type(error).__name__)
        return Result(Outcome.OK, 0)

    def _judged(self, result: Result, elapsed_s: float, stalled_s: float) -> Result:
        outcome = result.outcome
        latency_ms = round(min(elapsed_s, self._limits.deadline_s) * 1000, 3)
        if outcome is Outcome.TIMEOUT and stalled_s > STALLED_SHARE * self._limits.deadline_s:
            return Result(Outcome.NOT_RUN, latency_ms, "this monitor is overloaded")
        if outcome is Outcome.OK and latency_ms > self._limits.objective_ms:
            outcome = Outcome.SLOW
        return Result(outcome, latency_ms, result.detail, result.retry_after_s)


async def _cancel(task: asyncio.Task[Result]) -> None:
    task.cancel()
    await asyncio.wait({task}, timeout=CANCEL_GRACE_S)


def _without_message(error: BaseException) -> dict[str, str]:
    """Describe a bug by type and place: messages of drivers may hold addresses, names and keys."""
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    return {
        "error": type(error).__name__,
        "at": " < ".join(f"{frame.filename}:{frame.lineno}" for frame in reversed(frames)),
    }
