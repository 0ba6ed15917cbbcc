"""The contract of a probe: every class of failure, from servers that really fail that way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pytest

from health_monitor.adapters.http import HttpProbe
from health_monitor.adapters.openai import OpenaiProbe
from health_monitor.adapters.postgresql import PostgresqlProbe
from health_monitor.adapters.redis import RedisProbe
from health_monitor.adapters.s3 import THREADS, Bucket, S3Probe
from health_monitor.adapters.tcp import TcpProbe
from health_monitor.attempt import Attempts, Limits, Probe
from health_monitor.domain import Result
from resilience_contracts import Outcome

SECRET = "do-not-tell-anyone"
DEADLINE_S = 0.6
TOO_BUSY = 5
GARBAGE = bytes(range(128, 256)) + b"\r\n\r\n"

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


def _openai(port: int) -> Probe:
    return OpenaiProbe(f"http://127.0.0.1:{port}/v1", SECRET, "gpt-4o-mini", DEADLINE_S)


def _postgresql(port: int) -> Probe:
    return PostgresqlProbe(f"postgresql://inventory:{SECRET}@127.0.0.1:{port}/inventory", DEADLINE_S)


def _redis(port: int) -> Probe:
    return RedisProbe(f"redis://:{SECRET}@127.0.0.1:{port}/0", "probe", DEADLINE_S)


def _s3(port: int) -> Probe:
    return S3Probe(
        Bucket("inventory", "eu-central-1", f"http://127.0.0.1:{port}", "key", SECRET), "probe", DEADLINE_S
    )


def _http(port: int) -> Probe:
    return HttpProbe(f"http://shop:{SECRET}@127.0.0.1:{port}/health", DEADLINE_S)


def _tcp(port: int) -> Probe:
    return TcpProbe(f"tcp://127.0.0.1:{port}")


PROBES = {"openai": _openai, "postgresql": _postgresql, "redis": _redis, "s3": _s3, "http": _http}
OVER_HTTP = ("openai", "s3", "http")


@dataclass(slots=True)
class Peer:
    """A server for one test, and how many connections it has seen and still holds."""

    port: int
    seen: int = 0
    open: int = 0


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[Peer]:
    peer, handling = Peer(0), set[asyncio.Task[None] | None]()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handling.add(asyncio.current_task())
        peer.seen += 1
        peer.open += 1
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await handler(reader, writer)
        peer.open -= 1
        writer.close()
        with suppress(OSError, asyncio.CancelledError):
            await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()
        tasks = {task for task in handling if task}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)


async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    while await reader.read(4096):
        continue


async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(GARBAGE)
    await silent(reader, writer)


async def hang_up(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read(1)


def trickle(gap_s: float) -> Handler:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(gap_s)

    return handler


def http(status: int, *headers: str, body: bytes = b"{}", kind: str = "application/json") -> Handler:
    head = [f"HTTP/1.1 {status} Told So", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *headers]

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write("\r\n".join([*head, "Connection: close", "", ""]).encode() + body)
        await writer.drain()

    return handler


async def attempt(name: str, port: int) -> Result:
    return await attempt_of(PROBES[name](port))


async def attempt_of(probe: Probe) -> Result:
    """Attempt it, again while the machine is too busy for a deadline of this length to say anything of the target."""
    attempts = Attempts("it", probe, Limits(objective_ms=60_000, deadline_s=DEADLINE_S), lambda: 0.0)
    try:
        for _ in range(TOO_BUSY):
            result = await attempts.run()
            if result.outcome is not Outcome.NOT_RUN:
                break
        return result
    finally:
        await attempts.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - a condition of a peer, not an event of ours
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("name", PROBES)
async def test_a_port_where_nobody_listens_is_refused(name: str) -> None:
    async with serving(silent) as peer:
        port = peer.port

    result = await attempt(name, port)

    assert result.outcome is Outcome.REFUSED
    assert result.latency_ms < DEADLINE_S * 1000


@pytest.mark.parametrize("name", PROBES)
async def test_a_server_that_accepts_and_never_answers_is_a_timeout(name: str) -> None:
    async with serving(silent) as peer:
        result = await attempt(name, peer.port)

        assert result.outcome is Outcome.TIMEOUT
        await until(lambda: peer.seen > 0)  # a thread on a busy machine may connect after its deadline
        await until(lambda: peer.open == 0)


@pytest.mark.parametrize("name", PROBES)
async def test_garbage_is_protocol(name: str) -> None:
    async with serving(garbage) as peer:
        assert (await attempt(name, peer.port)).outcome is Outcome.PROTOCOL


@pytest.mark.parametrize("name", PROBES)
async def test_a_server_that_hangs_up_without_an_answer_counts_as_no_connection(name: str) -> None:
    async with serving(hang_up) as peer:
        assert (await attempt(name, peer.port)).outcome is Outcome.REFUSED


@pytest.mark.parametrize("name", OVER_HTTP)
@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (401, Outcome.AUTH),
        (403, Outcome.AUTH),
        (429, Outcome.RATE_LIMITED),
        (500, Outcome.SERVER_ERROR),
        (503, Outcome.SERVER_ERROR),
        (404, Outcome.PROTOCOL),
    ],
)
async def test_http_statuses(name: str, status: int, outcome: Outcome) -> None:
    async with serving(http(status)) as peer:
        result = await attempt(name, peer.port)

        assert (result.outcome, result.detail) == (outcome, f"HTTP {status}")
        assert peer.seen == 1, "a probe retries nothing"


@pytest.mark.parametrize("name", ["openai", "http"])
async def test_retry_after_is_kept(name: str) -> None:
    async with serving(http(429, "Retry-After: 17")) as peer:
        assert (await attempt(name, peer.port)).retry_after_s == 17


@pytest.mark.parametrize(
    "header", ["Retry-After: soon", "Retry-After: nan", "Retry-After: -1", "X-Nothing: here"]
)
async def test_a_retry_after_that_is_no_number_is_ignored(header: str) -> None:
    async with serving(http(429, header)) as peer:
        assert (await attempt("openai", peer.port)).retry_after_s is None


async def test_openai_is_asked_for_a_completion_at_first_and_each_sixth_time() -> None:
    completion = b'{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[%s]}'
    choice = b'{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"ok"}}'
    answers = {
        "POST /v1/chat/completions": http(200, body=completion % choice),
        "GET /v1/models": http(200, body=b'{"object":"list","data":[]}'),
    }
    asked: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b" HTTP/1.1\r\n")).decode().removesuffix(" HTTP/1.1\r\n"))
        await answers[asked[-1]](reader, writer)

    async with serving(answer) as peer:
        attempts = Attempts("it", _openai(peer.port), Limits(60_000, DEADLINE_S), lambda: 0.0)
        outcomes = {(await attempts.run()).outcome for _ in range(8)}
        await attempts.close()

    full, cheap = answers
    assert outcomes == {Outcome.OK}
    assert asked == [full, *[cheap] * 5, full, cheap]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<html>", "text/html"),
        (b"{{{", "application/json"),
        (b"{}", "application/json"),
        (b"[]", "application/json"),
    ],
)
async def test_a_success_without_a_completion_in_it_is_protocol(body: bytes, kind: str) -> None:
    async with serving(http(200, body=body, kind=kind)) as peer:
        assert (await attempt("openai", peer.port)).outcome is Outcome.PROTOCOL


async def test_s3_asking_to_slow_down_is_rate_limited() -> None:
    body = b"<Error><Code>SlowDown</Code></Error>"
    async with serving(http(503, body=body, kind="application/xml")) as peer:
        assert (await attempt("s3", peer.port)).outcome is Outcome.RATE_LIMITED


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (b"-WRONGPASS invalid username-password pair\r\n", Outcome.AUTH),
        (b"-NOAUTH Authentication required.\r\n", Outcome.AUTH),
        (b"-LOADING Redis is loading the dataset in memory\r\n", Outcome.SERVER_ERROR),
        (b"-ERR max number of clients reached\r\n", Outcome.SERVER_ERROR),
        (b"-MISCONF Redis is configured to save RDB snapshots\r\n", Outcome.SERVER_ERROR),
    ],
)
async def test_error_replies_of_redis(reply: bytes, outcome: Outcome) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(4096):
            writer.write(reply)

    async with serving(handler) as peer:
        assert (await attempt("redis", peer.port)).outcome is outcome


async def test_a_trickling_s3_never_takes_more_than_its_threads_and_never_blocks_the_loop() -> None:
    async with serving(trickle(DEADLINE_S / 3)) as peer:
        probe = _s3(peer.port)
        attempts = Attempts("s3", probe, Limits(60_000, DEADLINE_S), lambda: 0.0)

        results = [await attempts.run() for _ in range(THREADS + 2)]

        assert {result.outcome for result in results} == {Outcome.TIMEOUT}
        assert peer.seen <= THREADS
        assert results[-1].latency_ms < DEADLINE_S * 1000, (
            "with every thread taken the answer is known at once"
        )


@pytest.mark.parametrize("name", PROBES)
async def test_no_result_carries_a_secret(name: str) -> None:
    body = f'{{"error": {{"message": "Incorrect API key provided: {SECRET}"}}}}'.encode()
    for handler in (hang_up, garbage, http(401, body=body), http(500, body=body)):
        async with serving(handler) as peer:
            assert SECRET not in repr(await attempt(name, peer.port))
