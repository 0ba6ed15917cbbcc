"""What is sent to a server to hurt it, over a socket: each ends in a refusal, and the server serves on."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from itertools import repeat

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from resilience_runtime.http import MAX_BODY_BYTES
from tests.runtime.test_serving import application, served

MEGABYTE = 1_000_000
FILLER = b"a" * 10_000


class Order(BaseModel):
    name: str = ""
    lines: list[object] = []


def shop() -> FastAPI:
    app = application()

    @app.post("/orders")
    async def order(order: Order) -> str:
        return order.name

    @app.get("/files/{name}")
    async def file(name: str) -> str:
        return name

    return app


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async with served(shop()) as (url, _):
        yield url
        async with httpx.AsyncClient(trust_env=False) as http:
            assert (await http.get(f"{url}/health/live")).status_code == 200, "it serves on"


async def exchange(url: str, *pieces: bytes) -> tuple[bytes, int]:
    """Send pieces until the other side hangs up; return what it said, and how many bytes it let us send."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    sent = 0
    with suppress(ConnectionError):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            sent += len(piece)
            await asyncio.sleep(0)
    said = b""
    with suppress(ConnectionError):
        async with asyncio.timeout(5):
            said = await reader.read()
    writer.transport.abort()
    return said, sent


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        pytest.param(
            b"GET /health/live HTTP/1.1\r\nhost: x\r\n", b"x: " + FILLER + b"\r\n", id="many headers"
        ),
        pytest.param(b"GET /health/live HTTP/1.1\r\nx: ", FILLER, id="one header without end"),
        pytest.param(b"GET /", FILLER, id="a target without end"),
    ],
)
async def test_a_head_without_end_is_not_kept(url: str, begin: bytes, piece: bytes) -> None:
    said, sent = await exchange(url, begin, *repeat(piece, 2_000))

    assert said.startswith(b"HTTP/1.1 431") or not said  # a reset may overtake the answer
    assert sent < 10 * MEGABYTE, "what the sockets between us hold"


async def test_a_head_of_common_size_passes_though_it_comes_in_pieces_after_a_large_body(url: str) -> None:
    body = json.dumps({"name": "n" * 200_000}).encode()
    post = b"POST /orders HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    get = b"GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx: " + b"a" * 30_000

    said, _ = await exchange(
        url, post % len(body), body + get[:10], get[10:20_000], get[20_000:], b"\r\n\r\n"
    )

    assert said.count(b"HTTP/1.1 200") == 2


@pytest.mark.parametrize("opening", [b"[", b'{"lines":', b'{"lines":['])
async def test_deep_json_is_refused_and_no_error_of_ours(url: str, opening: bytes) -> None:
    deep = opening * (MAX_BODY_BYTES // len(opening) - 1)

    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.post(f"{url}/orders", content=deep, headers={"content-type": "application/json"})

    assert answer.status_code in {400, 422}, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, gzip"])
async def test_a_body_is_not_decompressed(url: str, encoding: str) -> None:
    bomb = gzip.compress(b" " * 50 * MEGABYTE)
    headers = {"content-type": "application/json", "content-encoding": encoding}

    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.post(f"{url}/orders", content=bomb, headers=headers)

    assert answer.status_code in {400, 415, 422}


@pytest.mark.parametrize(
    "head",
    [
        b"content-length: 5\r\ntransfer-encoding: chunked\r\n",
        b"content-length: 5\r\ncontent-length: 6\r\n",
        b"content-length: -1\r\n",
        b"content-length: +5\r\n",
        b"transfer-encoding: xchunked\r\n",
        b"transfer-encoding : chunked\r\n",
        b"x\x00y: z\r\n",
    ],
)
async def test_a_request_that_could_be_read_in_two_ways_is_refused(url: str, head: bytes) -> None:
    hidden = b"0\r\n\r\nGET /files/smuggled HTTP/1.1\r\nhost: x\r\n\r\n"

    said, _ = await exchange(url, b"POST /orders HTTP/1.1\r\nhost: x\r\n" + head + b"\r\n" + hidden)

    assert said.startswith(b"HTTP/1.1 400"), said
    assert b"smuggled" not in said


@pytest.mark.parametrize(
    "target",
    [
        "/files/../health/live",
        "/files/%2e%2e/health/live",
        "/files/..%2fhealth%2flive",
        "//health/live",
        "/health/live/",
        "/health//live",
        "/health/live%00",
        "/HEALTH/live",
        "http://elsewhere/../health",
    ],
)
async def test_a_path_is_what_it_says_and_nothing_is_resolved(url: str, target: str) -> None:
    said, _ = await exchange(url, f"GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())

    assert said.startswith(b"HTTP/1.1 404"), said
