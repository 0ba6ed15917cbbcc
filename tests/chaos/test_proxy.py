"""What a link does to its traffic, over real sockets."""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from pydantic import ValidationError

from resilience_chaos.proxy import Kind, Link, Order
from resilience_chaos.proxy.control import create_app
from resilience_chaos.proxy.link import Certificates
from resilience_cli.stack.certificates import AUTHORITY, write_certificates

ANSWER = bytes(range(100)) * 10
SOON_S = 0.3


@pytest.fixture
async def link() -> AsyncIterator[Link]:
    """A link to a server that answers every line with the same thousand bytes."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while await reader.readline():
                writer.write(ANSWER)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server, Link("it", 0, server.sockets[0].getsockname()[1], random.Random(1)) as link:
        yield link
        link.obey(None)


class Client:
    """One connection through the link."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def ask(self, patience_s: float = 5) -> bytes:
        """Return the answer, or what came of it before the connection ended.

        Raises:
            TimeoutError: nothing came.
            ConnectionError: it was reset.
        """
        self._writer.write(b"x\n")
        async with asyncio.timeout(patience_s):
            try:
                return await self._reader.readexactly(len(ANSWER))
            except asyncio.IncompleteReadError as error:
                return error.partial

    def close(self) -> None:
        self._writer.transport.abort()


Dial = Callable[[Link], Awaitable[Client]]


@pytest.fixture
async def dial() -> AsyncIterator[Dial]:
    """Connects; what was connected is closed after the test."""
    clients: list[Client] = []

    async def connect(link: Link) -> Client:
        clients.append(Client(*await asyncio.open_connection("127.0.0.1", link.port)))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()
    await asyncio.sleep(0)


@pytest.fixture
async def client(link: Link, dial: Dial) -> Client:
    """A connection that is open already."""
    client = await dial(link)
    assert await client.ask() == ANSWER
    return client


async def test_latency_is_added_to_each_answer_and_grows(link: Link, client: Client) -> None:
    link.obey(Order(kind=Kind.LATENCY, delay_ms=100, growth_ms_per_s=1000))

    took_s = []
    for _ in range(2):
        began_s = time.monotonic()
        assert await client.ask() == ANSWER
        took_s.append(time.monotonic() - began_s)

    assert 0.1 <= took_s[0] < took_s[1]


async def test_bandwidth_bounds_how_fast_an_answer_comes(link: Link, client: Client) -> None:
    link.obey(Order(kind=Kind.BANDWIDTH, bytes_per_s=4000))
    began_s = time.monotonic()

    assert await client.ask() == ANSWER

    assert time.monotonic() - began_s >= len(ANSWER) / 4000 * 0.8


async def test_reset_ends_what_is_open_and_what_comes(link: Link, client: Client, dial: Dial) -> None:
    link.obey(Order(kind=Kind.RESET))

    with pytest.raises(ConnectionError):
        await client.ask()
    with pytest.raises(ConnectionError):
        await (await dial(link)).ask()


async def test_a_black_hole_accepts_and_says_nothing_until_it_is_mended(
    link: Link, client: Client, dial: Dial
) -> None:
    link.obey(Order(kind=Kind.BLACKHOLE))
    late = await dial(link)

    for each in (client, late):
        with pytest.raises(TimeoutError):
            await each.ask(SOON_S)

    link.obey(None)
    for each in (client, late):
        with pytest.raises(ConnectionError):
            await each.ask()
    assert await (await dial(link)).ask() == ANSWER


async def test_half_open_leaves_old_connections_silent_and_new_ones_well(
    link: Link, client: Client, dial: Dial
) -> None:
    link.obey(Order(kind=Kind.HALF_OPEN))

    with pytest.raises(TimeoutError):
        await client.ask(SOON_S)
    assert await (await dial(link)).ask() == ANSWER


async def test_an_answer_is_cut_in_its_middle(link: Link, dial: Dial) -> None:
    link.obey(Order(kind=Kind.CUT, after_bytes=300))
    client, got = await dial(link), b""

    with suppress(ConnectionError):
        got = await client.ask()

    assert len(got) < len(ANSWER)
    assert ANSWER.startswith(got)


async def test_garbled_answers_have_their_length_and_other_bytes(link: Link, client: Client) -> None:
    link.obey(Order(kind=Kind.GARBLE))

    got = await client.ask()

    assert len(got) == len(ANSWER)
    assert got != ANSWER


async def test_say_answers_for_the_server(link: Link, dial: Dial) -> None:
    link.obey(Order(kind=Kind.SAY, text="no"))

    assert await (await dial(link)).ask() == b"no"


async def test_flapping_breaks_and_mends_by_itself(link: Link, dial: Dial) -> None:
    link.obey(Order(kind=Kind.RESET, period_s=0.4))
    seen = set[str]()

    async with asyncio.timeout(10):
        while len(seen) < 2:
            try:
                await (await dial(link)).ask()
                seen.add("well")
            except ConnectionError:
                seen.add("reset")
            await asyncio.sleep(0.05)


async def test_an_expired_certificate_is_shown_to_whoever_connects(link: Link, tmp_path: Path) -> None:
    write_certificates(tmp_path)
    trust = ssl.create_default_context(cafile=tmp_path / AUTHORITY)
    async with Link("tls", 0, link.upstream, random.Random(1), Certificates(tmp_path)) as secret:

        async def answer() -> bytes:
            reader, writer = await asyncio.open_connection("127.0.0.1", secret.port, ssl=trust)
            try:
                writer.write(b"x\n")
                return await reader.readexactly(len(ANSWER))
            finally:
                writer.transport.abort()

        assert await answer() == ANSWER
        secret.obey(Order(kind=Kind.EXPIRED))
        with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
            await answer()
        secret.obey(None)
        assert await answer() == ANSWER


async def test_a_server_that_is_gone_is_a_reset(dial: Dial) -> None:
    async with Link("it", 0, 1, random.Random(1)) as link:
        with pytest.raises(ConnectionError):
            await (await dial(link)).ask()


@pytest.mark.parametrize(
    "order",
    [
        {"kind": "rain"},
        {"kind": "bandwidth"},
        {"kind": "say"},
        {"kind": "reset", "text": "no"},
        {"kind": "latency", "delay_ms": -1},
    ],
)
def test_an_order_that_means_nothing_is_refused(order: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Order.model_validate(order)


async def test_orders_come_over_http(link: Link) -> None:
    transport = httpx.ASGITransport(create_app({"it": link}))
    async with httpx.AsyncClient(transport=transport, base_url="http://proxy") as control:
        assert (await control.put("/links/it", json={"kind": "reset"})).is_success
        assert (await control.get("/links")).json()["it"]["order"] == {"kind": "reset"}
        assert (await control.put("/links/it", json={"kind": "rain"})).status_code == 422
        assert (await control.put("/links/other", json={"kind": "reset"})).status_code == 404
        assert link.order == Order(kind=Kind.RESET)
        assert (await control.delete("/links/it")).is_success
        assert link.order is None
