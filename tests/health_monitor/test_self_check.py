from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from health_monitor.domain import Result, Window
from health_monitor.self_check import SelfCheck
from resilience_contracts import Observation, Outcome

NAMES = frozenset({"postgresql", "redis"})


def window(outcome: Outcome) -> Window:
    seen = Observation(outcome=outcome, latency_ms=1, at=datetime(2026, 1, 1, tzinfo=UTC))
    return Window().add(Result(outcome, 1), seen)


@asynccontextmanager
async def answering(line: bytes) -> AsyncIterator[int]:
    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(line)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - a condition of a peer, not an event of ours
            await asyncio.sleep(0.005)


async def checked(check: SelfCheck, act: Callable[[], Awaitable[None]]) -> list[str]:
    running = asyncio.create_task(check.run())
    with capture_logs() as logs:
        await act()
    running.cancel()
    await asyncio.wait({running})
    return [line["event"] for line in logs]


@pytest.mark.parametrize(
    ("line", "suspect"), [(b"HTTP/1.1 200 OK\r\n\r\n", 0), (b"HTTP/1.1 503 No\r\n\r\n", 1)]
)
async def test_when_all_fail_it_asks_itself(line: bytes, suspect: float) -> None:
    readings: list[float] = []
    async with answering(line) as port:
        check = SelfCheck(NAMES, "127.0.0.1", port, readings.append)

        async def act() -> None:
            check.observed("postgresql", window(Outcome.TIMEOUT))
            readings.clear()
            check.observed("redis", window(Outcome.REFUSED))
            await until(lambda: bool(readings))

        events = await checked(check, act)

    assert readings == [suspect]
    assert ("it is probably me" in events[0]) is bool(suspect)


async def test_it_suspects_itself_until_one_dependency_answers() -> None:
    readings: list[float] = []
    check = SelfCheck(NAMES, "127.0.0.1", 1, readings.append)

    async def act() -> None:
        for name in NAMES:
            check.observed(name, window(Outcome.TIMEOUT))
        await until(lambda: 1 in readings)
        check.observed("redis", window(Outcome.OK))

    await checked(check, act)

    assert readings[-1] == 0


async def test_one_failing_dependency_is_no_reason_to_doubt_oneself() -> None:
    readings: list[float] = []
    check = SelfCheck(NAMES, "127.0.0.1", 1, readings.append)

    async def act() -> None:
        check.observed("postgresql", window(Outcome.TIMEOUT))
        check.observed("redis", window(Outcome.OK))
        await asyncio.sleep(0.02)

    assert await checked(check, act) == []
    assert set(readings) == {0}
