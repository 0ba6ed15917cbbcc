"""The writer against a server that notes what it is asked for."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest

from inventory_api.adapters.breakers import build_breakers
from inventory_api.adapters.writer import SPARINGLY_AT_ONCE, Model, OpenAIWriter
from inventory_api.application.errors import UnavailableError
from resilience_contracts import default_policy

COMPLETION = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "ok"}}],
}


class Server:
    """Completes every prompt once it may, and keeps what was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.port = 0
        self.hangs_up = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
        assert length
        self.asked.append(json.loads(await reader.readexactly(int(length[1]))))
        if self.hangs_up:
            self.hangs_up -= 1
            writer.close()
            return
        await self.may_answer.wait()
        body = json.dumps(COMPLETION)
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        writer.write(f"{head}Connection: close\r\n\r\n{body}".encode())
        await writer.drain()
        writer.close()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    listening = await asyncio.start_server(server.answer, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    yield server
    listening.close()


@pytest.fixture
async def writer(server: Server) -> AsyncIterator[OpenAIWriter]:
    breaker = build_breakers(default_policy(), {}, Random(1))["openai"]
    writer = OpenAIWriter(Model(f"http://127.0.0.1:{server.port}/v1", "key", "big", "small"), breaker, 10)
    yield writer
    await writer.close()


async def test_the_smaller_model_writes_when_the_other_is_to_be_spared(
    server: Server, writer: OpenAIWriter
) -> None:
    assert await writer.write("task", "text", 300) == "ok"
    assert await writer.write("task", "text", 80, sparing=True) == "ok"

    assert [(asked["model"], asked["max_tokens"]) for asked in server.asked] == [("big", 300), ("small", 80)]


async def test_few_write_at_once_when_it_is_to_be_spared(server: Server, writer: OpenAIWriter) -> None:
    server.may_answer.clear()
    writing = [
        asyncio.create_task(writer.write("task", "text", 80, sparing=True)) for _ in range(SPARINGLY_AT_ONCE)
    ]
    while len(server.asked) < SPARINGLY_AT_ONCE:  # noqa: ASYNC110 - the condition is the server's
        await asyncio.sleep(0.01)

    with pytest.raises(UnavailableError, match="too many"):
        await writer.write("task", "text", 80, sparing=True)
    server.may_answer.set()

    assert await asyncio.gather(*writing) == ["ok"] * SPARINGLY_AT_ONCE


async def test_a_connection_that_breaks_is_tried_again(server: Server, writer: OpenAIWriter) -> None:
    server.hangs_up = 1

    assert await writer.write("task", "text", 300) == "ok"

    assert len(server.asked) == 2


async def test_when_every_connection_breaks_only_a_tenth_more_is_asked(
    server: Server, writer: OpenAIWriter
) -> None:
    for _ in range(30):
        await writer.write("task", "text", 300)
    server.hangs_up, before = 1_000, len(server.asked)
    for _ in range(4):
        with pytest.raises(UnavailableError):
            await writer.write("task", "text", 300)

    assert 4 < len(server.asked) - before <= 4 + 1 + 34 / 10
