from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import chain, repeat

import httpx
import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Scope

from resilience_runtime import (
    Kind,
    Metric,
    Readiness,
    StartupError,
    build_app,
    build_registry,
    configure_logging,
    http_protocol,
    serve,
)
from resilience_runtime.http_protocol import Refusal


@dataclass
class Door:
    """An entrance at which a function decides; confirmations go first."""

    decide: Callable[[Scope], Refusal | None]

    def admit(self, scope: Scope, waiting: int) -> Refusal | None:
        assert waiting >= 0
        return self.decide(scope)

    def goes_first(self, data: bytes) -> bool:
        return data.startswith(b"POST /first ")


@asynccontextmanager
async def served(
    app: FastAPI, admit: Callable[[Scope], Refusal | None] | None = None, *, door: Door | None = None
) -> AsyncIterator[tuple[str, asyncio.Task[None]]]:
    bound: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    door = door or (Door(admit) if admit else None)
    task = asyncio.create_task(serve(app, "127.0.0.1", 0, on_bound=bound.set_result, entrance=door))
    try:
        yield f"http://127.0.0.1:{await bound}", task
    finally:
        task.cancel()
        await asyncio.wait({task})


def application() -> FastAPI:
    return build_app("Test", lambda: Readiness(ready=True))


async def test_an_application_is_served_until_it_is_cancelled() -> None:
    async with served(application()) as (url, task):
        async with httpx.AsyncClient(trust_env=False) as http:
            answer = await http.get(f"{url}/health/ready")
        task.cancel()
        await asyncio.wait({task}, timeout=5)

        assert answer.status_code == 200
        assert "server" not in answer.headers
        assert task.cancelled()


async def test_a_request_in_flight_is_finished_before_the_end() -> None:
    app = application()
    arrived, go_on = asyncio.Event(), asyncio.Event()

    @app.get("/slow")
    async def slow() -> str:
        arrived.set()
        await go_on.wait()
        return "done"

    async with served(app) as (url, task), httpx.AsyncClient(trust_env=False) as http:
        request = asyncio.create_task(http.get(f"{url}/slow"))
        await arrived.wait()
        task.cancel()
        await asyncio.sleep(0)
        go_on.set()

        assert (await request).json() == "done"


async def test_an_error_after_the_answer_began_breaks_it_off_and_is_logged_once(
    logging_restored: None, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("INFO", "json", "test", "one")
    app = application()

    @app.get("/half")
    async def half() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"half"
            raise ZeroDivisionError

        return StreamingResponse(parts())

    async with served(app) as (url, _), httpx.AsyncClient(trust_env=False) as http:
        with pytest.raises(httpx.RemoteProtocolError):
            await http.get(f"{url}/half")

    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert sum("exception" in line for line in lines) == 1


async def test_a_port_that_is_taken_is_one_line_that_names_the_variable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(StartupError) as error:
            await serve(application(), "127.0.0.1", port, variable="METRICS_PORT")

    assert str(error.value).startswith(f"METRICS_PORT={port}")
    assert "\n" not in str(error.value)


async def test_a_host_that_is_not_ours_is_one_line_too() -> None:
    with pytest.raises(StartupError, match="PORT=0 on 192"):
        await serve(application(), "192.0.2.1", 0)


async def test_an_application_that_does_not_start_is_an_error_and_not_the_end_of_the_process() -> None:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if True:
            raise ZeroDivisionError
        yield

    app = build_app("Test", lambda: Readiness(ready=True), lifespan=lifespan)

    with pytest.raises(RuntimeError, match="did not start"):
        await serve(app, "127.0.0.1", 0)


async def test_metrics_are_served_on_a_port_of_their_own() -> None:
    waiting = Metric("things_waiting", Kind.GAUGE, "Things that wait.")
    metrics = build_registry((waiting,))
    metrics.gauge(waiting).set(4)
    bound: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(metrics.application(), "127.0.0.1", 0, on_bound=bound.set_result))

    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.get(f"http://127.0.0.1:{await bound}/metrics")
    task.cancel()
    await asyncio.wait({task})

    assert "things_waiting 4.0" in answer.text


@pytest.fixture
def short_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_S", 0.2)


async def ask(url: str, *pieces: bytes) -> tuple[bytes, float]:
    """Send pieces, wait for the other side to hang up; return what it said, and after how many seconds."""
    began_s = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        async with asyncio.timeout(5):
            said = await reader.read()
        return said, time.monotonic() - began_s
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("pieces", "begins"),
    [
        pytest.param([], b"", id="nothing"),
        pytest.param([b"GET /health/li"], b"HTTP/1.1 408", id="half a target"),
        pytest.param(
            [b"GET /health/live HTTP/1.1\r\nhost: x\r\nx-slow: "], b"HTTP/1.1 408", id="half a header"
        ),
        pytest.param(
            [b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\nGET /he"], b"HTTP/1.1 200", id="half of a second"
        ),
    ],
)
async def test_a_head_that_does_not_arrive_ends_the_connection(
    short_head: None, pieces: list[bytes], begins: bytes
) -> None:
    async with served(application()) as (url, _):
        said, took_s = await ask(url, *pieces)

    assert said.startswith(begins)
    assert took_s < 4  # well under uvicorn's 5 s between requests


async def test_a_head_that_arrives_byte_by_byte_must_be_whole_in_time(short_head: None) -> None:
    async with served(application()) as (url, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(b"GET /health/live HTTP/1.1\r\nx: ")
        said = asyncio.create_task(reader.readuntil(b"\r\n"))
        async with asyncio.timeout(5):
            while not said.done():
                writer.write(b"a")
                await asyncio.wait({said}, timeout=0.02)
            with suppress(ConnectionResetError):  # for the byte that came after it
                await reader.read()
        writer.close()

    assert said.result().startswith(b"HTTP/1.1 408")


async def test_a_slow_answer_and_a_slow_body_are_no_slow_head(short_head: None) -> None:
    app = application()
    go_on = asyncio.Event()

    @app.post("/slow")
    async def slow(request: Request) -> str:
        await go_on.wait()
        return (await request.body()).decode()

    async with served(app) as (url, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(b"POST /slow HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 4\r\n\r\nbo")
        said = asyncio.create_task(reader.read())
        done, _pending = await asyncio.wait({said}, timeout=0.6)
        assert not done
        writer.write(b"dy")
        go_on.set()
        answer = await said
        writer.close()

    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b'"body"')


REFUSED = Refusal(b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 4\r\n", b"full")


def echoing() -> FastAPI:
    app = application()

    @app.post("/echo")
    async def echo(request: Request) -> int:
        return len(await request.body())

    return app


async def exchange(url: str, sent: bytes, answers: int) -> bytes:
    """Send bytes over one connection and read until that many heads have come, or it is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    writer.write(sent)
    got = b""
    async with asyncio.timeout(10):
        while got.count(b"HTTP/1.1 ") < answers or not got.endswith((b"full", b"7")):
            data = await reader.read(65536)
            if not data:
                break
            got += data
    writer.close()
    return got


async def test_what_is_refused_at_the_entrance_never_reaches_the_application() -> None:
    asked: list[str] = []

    def admit(scope: Scope) -> Refusal | None:
        asked.append(scope["path"])
        return REFUSED

    async with served(echoing(), admit) as (url, _), httpx.AsyncClient(trust_env=False) as http:
        first = await http.get(f"{url}/nowhere")
        second = await http.post(f"{url}/echo", content=b"x" * 3_000_000)
        third = await http.get(f"{url}/health/live")

    assert [(each.status_code, each.text) for each in (first, second, third)] == [(503, "full")] * 3
    assert asked == ["/nowhere", "/echo", "/health/live"]


async def test_a_connection_serves_on_after_a_refusal_whose_body_came_late() -> None:
    verdicts = iter([REFUSED, None])
    first = b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n"

    async with served(echoing(), lambda _: next(verdicts)) as (url, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(first)
        refused = await reader.readuntil(b"full")
        writer.write(b"x" * 9 + first + b"y" * 9)
        served_on = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n9"), 10)
        writer.close()

    assert refused.startswith(b"HTTP/1.1 503 ")
    assert served_on.startswith(b"HTTP/1.1 200 ")


async def test_requests_sent_ahead_are_all_answered() -> None:
    verdicts = chain([None], repeat(REFUSED))
    one = b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 7\r\n\r\n" + b"x" * 7

    async with served(echoing(), lambda _: next(verdicts)) as (url, _):
        got = await exchange(url, one * 500, 500)

    assert got.count(b"HTTP/1.1 200 ") + got.count(b"HTTP/1.1 503 ") == 500


async def test_a_refused_client_that_wants_no_more_is_hung_up_on() -> None:
    async with served(echoing(), lambda _: REFUSED) as (url, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        got = await asyncio.wait_for(reader.read(), 10)
        writer.close()

    assert got.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nconnection: close\r\n\r\nfull" in got


async def test_of_those_who_wait_some_go_first_and_each_is_told_how_many_others_do() -> None:
    told: list[tuple[str, int]] = []

    class Busy(Door):
        def admit(self, scope: Scope, waiting: int) -> Refusal | None:
            told.append((scope["path"], waiting))
            if scope["path"] == "/busy":
                time.sleep(0.5)
            return REFUSED

    async with served(echoing(), door=Busy(lambda _: REFUSED)) as (url, _):
        port = int(url.rpartition(":")[2])
        connections = [await asyncio.open_connection("127.0.0.1", port) for _ in range(4)]
        paths = ("/busy", "/a", "/b", "/first")
        for path, (_, writer) in zip(paths, connections, strict=True):
            writer.write(f"POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n".encode())
        answers = [await asyncio.wait_for(reader.readuntil(b"full"), 10) for reader, _ in connections]
        for _, writer in connections:
            writer.close()

    assert [answer[:12] for answer in answers] == [b"HTTP/1.1 503"] * 4
    assert told[0][0] in {"/busy", "/first"}
    assert [path for path, _ in told if path not in {"/busy", "/first"}] == ["/a", "/b"]
    assert [waiting for _, waiting in told][-2:] == [1, 0]


async def test_a_long_body_is_read_whole_and_only_its_beginning_may_go_first() -> None:
    asked: list[bytes] = []

    class Curious(Door):
        def goes_first(self, data: bytes) -> bool:
            asked.append(data[:5])
            return True

    async with (
        served(echoing(), door=Curious(lambda _: None)) as (url, _),
        httpx.AsyncClient(trust_env=False) as http,
    ):
        answers = [await http.post(f"{url}/echo", content=b"POST " * 200_000) for _ in range(2)]

    assert [answer.json() for answer in answers] == [1_000_000] * 2
    assert asked == [b"POST "] * 2


@pytest.mark.parametrize(("idle_s", "answered"), [(61, True), (76, False)])
async def test_an_idle_connection_is_kept_for_longer_than_load_balancers_keep_theirs(
    idle_s: float, answered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    now, later_s = loop.time, [0.0]
    monkeypatch.setattr(loop, "time", lambda: now() + later_s[0])
    async with served(application()) as (url, _):
        host, port = url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        request = f"GET /health/ready HTTP/1.1\r\nhost: {host}\r\n\r\n".encode()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(length)

        later_s[0] = idle_s
        await asyncio.sleep(0)  # what is due by now happens
        await asyncio.sleep(0)
        with suppress(ConnectionError):
            writer.write(request)
        again = b""
        with suppress(ConnectionError):
            again = await reader.read(15)
        writer.close()

    assert again == (b"HTTP/1.1 200 OK" if answered else b"")
