"""Redis or Valkey: write, read back, compare, delete, on a fresh connection.

A fresh connection costs under a millisecond, also notices exhausted client slots and changed passwords, and
after a failure there is no half-used one to distrust.
"""

from __future__ import annotations

from secrets import token_hex

from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from health_monitor.domain import ProbeError, of_redis_reply
from resilience_contracts import Outcome

from .connection import no_connection

LEFTOVER_TTL_S = 60

AUTH_ERRORS = (
    exceptions.AuthenticationError,
    exceptions.AuthorizationError,
    exceptions.AuthenticationWrongNumberOfArgsError,
    exceptions.NoPermissionError,
)
# redis-py strips the first word of a reply that has a class of its own.
SERVER_ERRORS = (
    exceptions.BusyLoadingError,
    exceptions.ClusterDownError,
    exceptions.MaxConnectionsError,
    exceptions.OutOfMemoryError,
    exceptions.ReadOnlyError,
    exceptions.TryAgainError,
)
TOO_MANY_CLIENTS = "max number of clients"


class RedisProbe:
    """Probe of Redis.

    Raises `ValueError` for a malformed address.

    Args:
        url: `redis://...`, or `rediss://...` for TLS, with `ssl_ca_certs` for authorities of one's own.
        key: this monitor's own key; what a broken probe leaves there expires.
        deadline_s: bound of each step; the caller bounds the whole.
    """

    def __init__(self, url: str, key: str, deadline_s: float) -> None:
        parse_url(url)
        self._url = url
        self._key = key
        self._deadline_s = deadline_s

    async def check(self) -> None:
        """Write a random value, read it back, compare, delete it."""
        try:
            async with self._client() as client:
                await self._round_trip(client)
        except exceptions.RedisError as error:
            raise _failure(error) from None
        except OSError as error:
            raise no_connection(error) from None

    async def close(self) -> None:
        """Nothing is kept between checks."""

    def _client(self) -> Redis:
        return Redis.from_url(
            self._url,
            single_connection_client=True,
            socket_timeout=self._deadline_s,
            socket_connect_timeout=self._deadline_s,
            retry=Retry(NoBackoff(), 0),
            driver_info=None,
        )

    async def _round_trip(self, client: Redis) -> None:
        written = token_hex(8).encode()
        await client.set(self._key, written, ex=LEFTOVER_TTL_S)
        read = await client.get(self._key)
        deleted = await client.delete(self._key)
        if read != written or deleted != 1:
            raise ProbeError(Outcome.PROTOCOL, "what was written did not come back")


def _failure(error: exceptions.RedisError) -> ProbeError:
    name = type(error).__name__
    if isinstance(error, AUTH_ERRORS):
        return ProbeError(Outcome.AUTH, name)
    if isinstance(error, SERVER_ERRORS):
        return ProbeError(Outcome.SERVER_ERROR, name)
    if isinstance(error, exceptions.TimeoutError):
        return ProbeError(Outcome.TIMEOUT, name)
    if isinstance(error, exceptions.ConnectionError):
        full = TOO_MANY_CLIENTS in str(error)
        return ProbeError(Outcome.SERVER_ERROR, name) if full else no_connection(error)
    if isinstance(error, exceptions.ResponseError):
        return ProbeError(of_redis_reply(str(error)), name)
    return ProbeError(Outcome.PROTOCOL, name)
