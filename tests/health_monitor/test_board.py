from __future__ import annotations

from datetime import UTC, datetime

import httpx

from health_monitor.board import Board, BoardView, ProbeView, Probing
from health_monitor.domain import Result, Window
from resilience_contracts import Observation, Outcome
from resilience_runtime.http import build_app

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def board() -> Board:
    probes = [
        ProbeView(dependency="redis", probing=Probing.PROBED, interval_s=5, deadline_s=1),
        ProbeView(dependency="s3", probing=Probing.DISABLED, interval_s=5, deadline_s=2),
    ]
    return Board(BoardView(scope="default", observer="monitor-1", boot="b", probes=probes))


def rate_limited() -> Window:
    seen = Observation(outcome=Outcome.RATE_LIMITED, latency_ms=3, at=NOW)
    return Window().add(Result(Outcome.RATE_LIMITED, 3, "HTTP 429", 7), seen)


async def test_the_board_shows_the_last_observation_of_each_dependency() -> None:
    shown = board()
    shown.observed("redis", rate_limited())
    app = build_app("test", shown.readiness)
    app.include_router(shown.routes())

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        body = (await client.get("/v1/probes")).json()

    redis, s3 = body["probes"]
    last = {"outcome": "rate_limited", "latency_ms": 3.0, "at": "2026-01-01T00:00:00.000Z"}
    assert redis["last"] == last
    assert redis["recent"] == [last]
    assert (redis["detail"], redis["retry_after_s"], redis["consecutive_misses"]) == ("HTTP 429", 7, 0.5)
    assert (s3["probing"], s3["last"], s3["recent"]) == ("disabled", None, [])


def test_ready_once_every_probed_dependency_was_observed() -> None:
    shown = board()

    before = shown.readiness()
    shown.observed("redis", rate_limited())
    after = shown.readiness()

    assert (before.ready, after.ready) == (False, True)
    assert set(after.checks) == {"redis"}
