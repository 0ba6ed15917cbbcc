from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from structlog.testing import capture_logs

from health_monitor.attempt import Attempts, Limits
from health_monitor.domain import ProbeError, Result
from resilience_contracts import Outcome

SECRET = "sk-do-not-tell"
LIMITS = Limits(objective_ms=1000, deadline_s=0.05)


class Scripted:
    """A probe whose check is given."""

    def __init__(self, check: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.check = check
        self.closed = False

    async def close(self) -> None:
        self.closed = True


def attempts(
    check: Callable[[], Coroutine[Any, Any, None]],
    limits: Limits = LIMITS,
    stalled_s: Callable[[], float] = lambda: 0.0,
) -> Attempts:
    return Attempts("redis", Scripted(check), limits, stalled_s)


async def works() -> None:
    return


async def hangs() -> None:
    await asyncio.Event().wait()


def raising(error: BaseException) -> Callable[[], Coroutine[Any, Any, None]]:
    async def check() -> None:
        raise error

    return check


async def test_a_probe_that_returns_is_ok() -> None:
    assert (await attempts(works).run()).outcome is Outcome.OK


async def test_a_probe_above_the_objective_is_slow() -> None:
    result = await attempts(works, Limits(objective_ms=0, deadline_s=1)).run()

    assert result.outcome is Outcome.SLOW


async def test_a_probe_at_the_deadline_is_cancelled_and_timed_out() -> None:
    cancelled = asyncio.Event()

    async def check() -> None:
        try:
            await hangs()
        finally:
            cancelled.set()

    result = await attempts(check).run()

    assert result.outcome is Outcome.TIMEOUT
    assert result.latency_ms == 50
    assert cancelled.is_set()


async def test_what_a_probe_reports_is_passed_on() -> None:
    result = await attempts(raising(ProbeError(Outcome.RATE_LIMITED, "HTTP 429", 7))).run()

    assert (result.outcome, result.detail, result.retry_after_s) == (Outcome.RATE_LIMITED, "HTTP 429", 7)


@pytest.mark.parametrize(
    "error", [ValueError(SECRET), SystemExit(SECRET), KeyboardInterrupt(SECRET), MemoryError()]
)
async def test_a_bug_of_a_probe_is_protocol_and_logged_without_its_message(error: BaseException) -> None:
    with capture_logs() as logs:
        result = await attempts(raising(error)).run()

    assert result == Result(Outcome.PROTOCOL, result.latency_ms, type(error).__name__)
    assert logs[0]["error"] == type(error).__name__
    assert "test_attempt.py:" in logs[0]["at"]
    assert SECRET not in str(logs)


async def test_a_probe_that_cancels_itself_says_nothing_about_its_target() -> None:
    assert (await attempts(raising(asyncio.CancelledError())).run()).outcome is Outcome.CANCELLED


async def test_cancelling_an_attempt_cancels_its_probe() -> None:
    cancelled = asyncio.Event()

    async def check() -> None:
        try:
            await hangs()
        finally:
            cancelled.set()

    running = asyncio.create_task(attempts(check, Limits(1000, 60)).run())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running
    await asyncio.wait_for(cancelled.wait(), 1)


async def test_probes_that_ignore_their_cancellation_confirm_an_outage_and_then_run_no_more() -> None:
    release = asyncio.Event()

    async def check() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    stubborn = attempts(check)
    with capture_logs() as logs:
        hung = [(await stubborn.run()).outcome for _ in range(4)]
    release.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    after = await stubborn.run()

    assert hung == [*[Outcome.TIMEOUT] * 3, Outcome.NOT_RUN]
    assert logs[0]["event"] == "probe ignores its cancellation"
    assert after.outcome is Outcome.OK


@pytest.mark.parametrize(("stall_s", "outcome"), [(0.04, Outcome.NOT_RUN), (0.01, Outcome.TIMEOUT)])
async def test_a_timeout_of_a_stalled_monitor_is_not_blamed_on_the_target(
    stall_s: float, outcome: Outcome
) -> None:
    readings = iter([1.0, 1.0 + stall_s])

    result = await attempts(hangs, stalled_s=lambda: next(readings)).run()

    assert result.outcome is outcome


async def test_closing_cancels_what_runs_and_closes_the_probe() -> None:
    probe = Scripted(hangs)
    trying = Attempts("redis", probe, Limits(1000, 60), lambda: 0.0)
    running = asyncio.create_task(trying.run())
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    await trying.close()

    assert probe.closed
    assert (await running).outcome is Outcome.CANCELLED
