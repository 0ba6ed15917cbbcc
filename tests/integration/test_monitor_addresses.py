"""Probes of anything that has an address: over HTTP, and of a TCP port."""

from __future__ import annotations

import asyncio
import base64

import pytest
from pydantic import SecretStr

from health_monitor.adapters.http import BODY_LIMIT_BYTES, HttpProbe
from health_monitor.adapters.tcp import TcpProbe
from health_monitor.attempt import Probe
from health_monitor.catalogue import at_address
from resilience_contracts import Outcome
from tests.integration.test_monitor_failures import (
    DEADLINE_S,
    SECRET,
    attempt,
    attempt_of,
    hang_up,
    http,
    serving,
    silent,
    trickle,
    until,
)


@pytest.mark.parametrize("status", [200, 204, 299])
async def test_a_success_is_a_hit(status: int) -> None:
    async with serving(http(status)) as peer:
        assert (await attempt("http", peer.port)).outcome is Outcome.OK


async def test_a_redirect_is_no_hit_and_not_followed() -> None:
    async with serving(http(302, "Location: /elsewhere")) as peer:
        result = await attempt("http", peer.port)

        assert (result.outcome, result.detail) == (Outcome.PROTOCOL, "HTTP 302")
        assert peer.seen == 1


async def test_credentials_of_the_address_are_sent_as_basic_authentication() -> None:
    heads: list[bytes] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    async with serving(handler) as peer:
        assert (await attempt("http", peer.port)).outcome is Outcome.OK

    assert base64.b64encode(f"shop:{SECRET}".encode()) in heads[0]


async def test_a_body_that_never_ends_is_left_after_its_first_part() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")
        while True:
            writer.write(bytes(BODY_LIMIT_BYTES))
            await writer.drain()

    async with serving(handler) as peer:
        assert (await attempt("http", peer.port)).outcome is Outcome.OK
        await until(lambda: peer.open == 0)


async def test_a_body_that_trickles_is_a_timeout() -> None:
    async with serving(trickle(DEADLINE_S / 10)) as peer:
        assert (await attempt("http", peer.port)).outcome is Outcome.TIMEOUT
        await until(lambda: peer.open == 0)


async def test_a_port_that_accepts_is_a_hit_and_leaves_no_connection() -> None:
    async with serving(silent) as peer:
        assert (await attempt_of(TcpProbe(f"tcp://127.0.0.1:{peer.port}"))).outcome is Outcome.OK
        await until(lambda: peer.seen == 1 and peer.open == 0)


async def test_a_port_where_nobody_listens_is_refused_over_tcp() -> None:
    async with serving(hang_up) as peer:
        port = peer.port

    assert (await attempt_of(TcpProbe(f"tcp://127.0.0.1:{port}"))).outcome is Outcome.REFUSED


async def test_a_name_that_resolves_nowhere_is_refused() -> None:
    assert (await attempt_of(TcpProbe("tcp://nowhere.invalid:80"))).outcome is Outcome.REFUSED


async def test_the_scheme_of_an_address_chooses_the_probe() -> None:
    async with serving(silent) as peer:
        plain = at_address_of(f"tcp://localhost:{peer.port}")
        web = at_address_of(f"https://localhost:{peer.port}/health")

        await plain.close()
        await web.close()

    assert isinstance(plain, TcpProbe)
    assert isinstance(web, HttpProbe)


@pytest.mark.parametrize(
    "address",
    [
        "ftp://pay/",
        "pay",
        "tcp://pay",
        "tcp://pay:0",
        "tcp://:80",
        "tcp://pay:99999",
        "tcp://user:secret@pay:80",
        "tcp://pay:80/health",
        "http://",
        "http:///health",
        "http://pay:port/",
    ],
)
def test_a_malformed_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match=r"address|scheme|[Pp]ort") as caught:
        at_address_of(address)

    assert "secret" not in str(caught.value)


def at_address_of(address: str) -> Probe:
    return at_address(SecretStr(address), DEADLINE_S)
