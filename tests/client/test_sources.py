"""Both sources against what they are made for: a running flag service, and the topics."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from resilience_cli.stack import free_ports
from resilience_client import LevelFeed, SseSource
from resilience_client.kafka import TOPICS, KafkaSource
from resilience_contracts import FeatureState, Level, LevelState, Topic, tombstone
from resilience_runtime import MemoryBus, serve
from tests.contracts.states import hold_set, level_state
from tests.flag_service.running import Replica, running, tell, until

ASSISTANT = "integrations.ai_assistant"
GUIDE = Path(__file__).parents[2] / "docs/guide/client.md"
CODE = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)


def current(level: Level, counter: int = 1) -> LevelState:
    return level_state(level, (1, counter), at=datetime.now(UTC))


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus()


@pytest.fixture(params=["sse", "kafka"])
async def feed(request: pytest.FixtureRequest, bus: MemoryBus, tmp_path: Path) -> AsyncIterator[LevelFeed]:
    await tell(bus, current(Level.LIMITED))
    if request.param == "kafka":
        source = KafkaSource("unused", open_reader=lambda apply, begin: bus.reader(TOPICS, apply, begin))
        async with LevelFeed(source) as over_kafka:
            yield over_kafka
        return
    async with (
        running(bus, tmp_path, on_port=True) as replica,
        LevelFeed(SseSource(replica.url)) as over_sse,
    ):
        yield over_sse


async def test_levels_and_holds_are_followed(feed: LevelFeed, bus: MemoryBus) -> None:
    async with asyncio.timeout(10):
        await feed.known()
    assert feed.level is Level.LIMITED
    assert not feed.is_enabled(ASSISTANT)

    await tell(bus, current(Level.OPTIMAL, 2))
    await until(lambda: feed.level is Level.OPTIMAL)
    assert feed.state(ASSISTANT) is FeatureState.ENABLED
    assert not feed.stale

    hold = hold_set(FeatureState.FALLBACK, set_at=datetime.now(UTC))
    await tell(bus, hold)
    await until(lambda: feed.state(ASSISTANT) is FeatureState.FALLBACK)
    assert feed.feature(ASSISTANT).hold == hold

    await bus.publish(*tombstone(Topic.HOLDS, hold.key))
    await until(lambda: feed.state(ASSISTANT) is FeatureState.ENABLED)


async def test_a_record_that_cannot_be_read_is_passed_over(feed: LevelFeed, bus: MemoryBus) -> None:
    await bus.publish(Topic.LEVELS, b"default", b"{", ())
    await tell(bus, current(Level.OPTIMAL, 2))

    await until(lambda: feed.level is Level.OPTIMAL)


def cut(replica: Replica) -> None:
    replica.service.hub.hang_up()


async def test_what_was_missed_while_cut_off_comes_after_it(bus: MemoryBus, tmp_path: Path) -> None:
    await tell(bus, current(Level.LIMITED))
    async with running(bus, tmp_path, on_port=True) as replica:
        source = SseSource(replica.url)
        async with LevelFeed(source) as feed:
            await asyncio.wait_for(feed.known(), 10)
            source._told_retry_s = 0.05
            seen_id = source._last_id
            cut(replica)
            await tell(bus, current(Level.OPTIMAL, 2))

            await until(lambda: feed.level is Level.OPTIMAL)

    assert seen_id
    assert source._last_id != seen_id


async def test_a_service_that_is_away_at_first_is_found_later(bus: MemoryBus, tmp_path: Path) -> None:
    await tell(bus, current(Level.LIMITED))
    (port,) = free_ports(1)
    async with LevelFeed(SseSource(f"http://127.0.0.1:{port}")) as feed:
        assert feed.is_enabled("inventory.reservations")
        async with running(bus, tmp_path) as replica:
            serving = asyncio.create_task(serve(replica.service.app, "127.0.0.1", port))
            await until(lambda: feed.level is Level.LIMITED)
            replica.service.hub.close()
            serving.cancel()
            await asyncio.wait({serving})
        assert feed.level is Level.LIMITED


async def test_after_an_event_that_cannot_be_applied_everything_is_asked_for_anew() -> None:
    """Bug row 15 (unleash-node-sdk 797): one change that was not applied must not leave it silently wrong."""
    first = b"id: a-1\nevent: new-kind\ndata: {}\n\n"
    broken = first + b'id: a-2\nevent: state\ndata: {"scope": 3}\n\n'
    async with served(broken) as (url, asked), LevelFeed(SseSource(url)) as feed:
        await until(lambda: len(asked) >= 2)
        assert feed.level is None
    async with served(first, end=True) as (url, resumed), LevelFeed(SseSource(url)):
        await until(lambda: len(resumed) >= 2)

    assert "last-event-id" not in asked[1]
    assert "last-event-id: a-1" in resumed[1]


async def test_a_comment_that_keeps_the_connection_does_not_interrupt_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """httpx-sse makes an empty event of a comment, once an event had an id."""
    body = b"id: a-1\nevent: new-kind\ndata: {}\n\n: ping\n\nid: a-2\nevent: new-kind\ndata: {}\n\n"
    async with served(body) as (url, asked):
        source = SseSource(url)
        async with LevelFeed(source):
            await until(lambda: source._last_id == "a-2")

    assert len(asked) == 1
    assert "interrupted" not in caplog.text


async def test_a_half_open_stream_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bug row 14 (unleash-edge 1583): a connection that brings nothing is not one."""
    monkeypatch.setattr("resilience_client.sse.SILENCE_S", 0.2)
    async with served(b"") as (url, asked), LevelFeed(SseSource(url)):
        await until(lambda: len(asked) >= 2)


@asynccontextmanager
async def served(body: bytes, *, end: bool = False) -> AsyncIterator[tuple[str, list[str]]]:
    """Serve a stream that sends this and then nothing, or its end; give the heads of the requests."""
    asked: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).decode().lower())
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n" + body
        )
        await writer.drain()
        if not end:
            await reader.read()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked


def guide_app(url: str) -> tuple[FastAPI, LevelFeed]:
    names: dict[str, Any] = {}
    exec(compile(CODE[0].replace("http://127.0.0.1:9001", url), str(GUIDE), "exec", dont_inherit=True), names)  # noqa: S102 - it is the guide's own
    return names["app"], names["feed"]


async def test_the_guides_service_refuses_falls_back_and_serves(bus: MemoryBus, tmp_path: Path) -> None:
    await tell(bus, current(Level.LIMITED))
    async with running(bus, tmp_path, on_port=True) as replica:
        app, feed = guide_app(replica.url)
        transport = httpx.ASGITransport(app)
        async with feed.lifespan(app), httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            await asyncio.wait_for(feed.known(), 10)
            refused = await client.get("/reports")
            await tell(bus, current(Level.DEGRADED, 2))
            await until(lambda: feed.level is Level.DEGRADED)
            reduced = await client.get("/suggestions")
            await tell(bus, current(Level.OPTIMAL, 3))
            await until(lambda: feed.level is Level.OPTIMAL)
            served_whole = [await client.get(path) for path in ("/reports", "/suggestions")]

    assert refused.status_code == 503
    assert refused.headers["content-type"] == "application/problem+json"
    assert 1 <= int(refused.headers["Retry-After"]) <= 300
    problem = refused.json()
    assert (problem["code"], problem["feature"], problem["because"]) == (
        "feature_disabled",
        "analytics.reports",
        "level",
    )
    assert reduced.json() == {"answer": "short"}
    assert [answer.status_code for answer in served_whole] == [200, 200]
    assert served_whole[1].json() == {"answer": "long"}


async def test_the_guides_script_prints_what_is_known(bus: MemoryBus, tmp_path: Path) -> None:
    await tell(bus, current(Level.LIMITED))
    async with running(bus, tmp_path, on_port=True) as replica:
        code = CODE[1].replace("http://127.0.0.1:9001", replica.url)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await asyncio.wait_for(process.communicate(), 30)

    assert out.decode().split() == ["2", "False", "False"]
