from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import httpcore2
import pytest

from flag_service.adapters.inventory import MOST_BYTES, InventoryReader
from resilience_runtime.clock import SystemClock

DASHBOARD = b"""{"skus": 3, "levels": 4, "on_hand": 50, "reserved": 6, "low": 2, "out": 1, "value": "1.00",
"sold_7_days": 0, "active_reservations": 0, "as_of": "2026-03-01T12:00:00Z", "stale": false}"""
SYSTEM = b'{"level": "OPTIMAL", "commands": {"waiting": 12, "oldest_age_s": 42.5}}'

Answers = Callable[[bytes], tuple[int, bytes]]


class Answering:
    """A pool whose answers a test gives."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self.asked: list[httpcore2.Request] = []

    def stream(self, method: str, url: str, *, headers: list[tuple[bytes, bytes]]) -> Answering:
        self.asked.append(httpcore2.Request(method, url, headers=headers))
        return self

    async def __aenter__(self) -> httpcore2.Response:
        status, body = self._answers(self.asked[-1].url.target)

        async def pieces() -> AsyncIterator[bytes]:
            yield body

        return httpcore2.Response(status, content=pieces())

    async def __aexit__(self, *_: object) -> None:
        return


def well(target: bytes) -> tuple[int, bytes]:
    return 200, DASHBOARD if target == b"/v1/dashboard" else SYSTEM


async def look(reader: InventoryReader, answers: Answers) -> Answering:
    pool = Answering(answers)
    await reader.look(pool)  # type: ignore[arg-type]
    return pool


async def test_figures_and_backlog_are_kept() -> None:
    reader = InventoryReader("http://inventory.test/", "secret", SystemClock())

    pool = await look(reader, well)

    seen = reader.last()
    assert seen is not None
    assert seen.figures is not None
    assert seen.backlog is not None
    assert (seen.figures.on_hand, seen.figures.out, seen.backlog.waiting, seen.problem) == (50, 1, 12, None)
    assert dict(pool.asked[0].headers)[b"x-api-key"] == b"secret"


def refused(target: bytes) -> tuple[int, bytes]:
    return (503, b"") if target == b"/v1/dashboard" else well(target)


@pytest.mark.parametrize(
    ("answers", "problem"),
    [
        (refused, "answers 503 for /v1/dashboard"),
        (lambda _: (200, b"<html>"), "something else"),
        (lambda _: (200, b" " * (MOST_BYTES + 1)), "too much"),
    ],
)
async def test_what_cannot_be_had_keeps_its_last_value_and_says_why(answers: Answers, problem: str) -> None:
    reader = InventoryReader("http://inventory.test", None, SystemClock())
    await look(reader, well)

    await look(reader, answers)

    seen = reader.last()
    assert seen is not None
    assert seen.figures is not None
    assert seen.backlog is not None
    assert problem in (seen.problem or "")


async def test_nobody_at_the_address_is_a_problem_and_no_more() -> None:
    reader = InventoryReader("http://127.0.0.1:1", None, SystemClock())

    async with httpcore2.AsyncConnectionPool() as pool:
        await reader.look(pool)

    seen = reader.last()
    assert seen is not None
    assert seen.problem == "inventory-api cannot be reached"


async def test_without_an_address_there_is_nothing_to_show() -> None:
    assert InventoryReader(None, None, SystemClock()).last() is None
