"""One attempt to deliver: signed now, to a checked address, without redirects, within a time.

Taken: `standardwebhooks` signs. httpcore2 is used below httpx, as it alone lets a connection go to the address
that was checked while TLS still verifies the name; it also knows neither redirects nor proxies.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterable, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import httpcore2
from httpcore2 import AnyIOBackend, AsyncNetworkBackend, AsyncNetworkStream
from standardwebhooks import Webhook

from resilience_runtime.clock import Clock
from resilience_runtime.trace_context import current_traceparent

from .message import Answer, Message

TIMEOUT_S = 15.0
USER_AGENT = b"retail-resilience-webhooks/1"
NAT64 = ip_network("64:ff9b::/96")
LOW_32_BITS = 2**32 - 1

Network = IPv4Network | IPv6Network
SocketOptions = Iterable[
    tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]
]


class AddressRefusedError(Exception):
    """The host has an address that webhooks may not go to."""


FAILURES = (
    AddressRefusedError,
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
    OSError,
    ValueError,  # a UnicodeError from a host that is no name
)
"""What an attempt may end with, beside no answer in time."""


class AddressGuard:
    """Which addresses webhooks may go to: public ones, and networks that the operator allows."""

    def __init__(self, allowed: Iterable[Network] = ()) -> None:
        self._allowed = tuple(allowed)

    def check(self, address: str, scheme: str) -> None:
        """Refuse an address that is neither public nor allowed; without TLS, one that is not allowed.

        Raises:
            AddressRefusedError: naming it.
        """
        ip = _unwrapped(ip_address(address.partition("%")[0]))
        if any(ip in network for network in self._allowed):
            return
        if not ip.is_global or ip.is_multicast:
            raise AddressRefusedError(f"{address} is not a public address")
        if scheme != "https":
            raise AddressRefusedError(f"{address} is public, which needs https")


class _Checked(AsyncNetworkBackend):
    """Connects to addresses that passed the guard, and to no other than those that were looked up once."""

    def __init__(self, guard: AddressGuard, scheme: str) -> None:
        self._guard = guard
        self._scheme = scheme
        self._backend = AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore2's signature
        local_address: str | None = None,
        socket_options: SocketOptions | None = None,
    ) -> AsyncNetworkStream:
        addresses = await _look_up(host, port)
        for address in addresses:
            self._guard.check(address, self._scheme)
        failure: Exception = httpcore2.ConnectError(f"{host} has no address")
        for address in addresses:
            try:
                return await self._backend.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure


class WebhookSender:
    """Sends messages. A receiver's answer is its status and Retry-After; no byte of its body is read."""

    def __init__(
        self, guard: AddressGuard, tls: ssl.SSLContext, clock: Clock, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._guard = guard
        self._tls = tls
        self._clock = clock
        self._timeout_s = timeout_s

    async def send(self, url: str, secrets: Sequence[str], message: Message) -> Answer:
        """Try once, signed with each secret. Whatever goes wrong is an answer too."""
        now = self._clock.now()
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._post(url, _headers(secrets, message, now), message, now)
        except TimeoutError:
            return Answer(detail=f"no answer within {self._timeout_s:g} s")
        except FAILURES as error:
            return Answer(detail=f"{type(error).__name__}: {error}"[:300])

    async def _post(
        self, url: str, headers: list[tuple[bytes, bytes]], message: Message, now: datetime
    ) -> Answer:
        target = httpcore2.URL(url)
        backend = _Checked(self._guard, target.scheme.decode())
        async with httpcore2.AsyncConnectionPool(ssl_context=self._tls, network_backend=backend) as pool:
            request = pool.stream("POST", target, headers=headers, content=message.body.encode())
            async with request as response:
                given = {name.lower(): value.decode("latin-1") for name, value in response.headers}
                return Answer(response.status, "", _retry_after_s(given.get(b"retry-after"), now))


def _headers(secrets: Sequence[str], message: Message, now: datetime) -> list[tuple[bytes, bytes]]:
    # The library drops the zone of the time that it signs: it has to be UTC, as a clock's is.
    signatures = (Webhook(secret).sign(message.id, now, message.body) for secret in secrets)
    own = {
        "content-type": "application/json",
        "content-length": str(len(message.body.encode())),
        "webhook-id": message.id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
    if traceparent := current_traceparent():
        own["traceparent"] = traceparent
    return [(b"user-agent", USER_AGENT), *((name.encode(), value.encode()) for name, value in own.items())]


def _retry_after_s(text: str | None, now: datetime) -> float | None:
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, (parsedate_to_datetime(text) - now).total_seconds())
    except (ValueError, TypeError):
        return None


async def _look_up(host: str, port: int) -> list[str]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _unwrapped(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that some IPv6 addresses stand for."""
    if isinstance(ip, IPv4Address):
        return ip
    if ip in NAT64:
        return IPv4Address(int(ip) & LOW_32_BITS)
    return ip.ipv4_mapped or ip.sixtofour or ip
