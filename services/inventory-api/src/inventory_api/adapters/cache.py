"""The shared cache in Redis. Behind a breaker; whatever fails is a miss."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

import structlog
from pydantic import TypeAdapter, ValidationError
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from inventory_api.domain.stock import Stock
from resilience_guards import CallNotPermitted, CircuitBreaker

log = structlog.get_logger(__name__)

_STOCK = TypeAdapter(Stock)
PREFIX = "stock:v1:"
CONNECTIONS = 16


def connect(url: str, deadline_s: float) -> Redis:
    """Prepare a client; nothing is connected before it is used. The breaker is what retries."""
    client = Redis.from_url(
        url,
        max_connections=CONNECTIONS * 2,
        socket_timeout=deadline_s,
        socket_connect_timeout=deadline_s,
        retry=Retry(NoBackoff(), 0),
    )
    pool = client.connection_pool
    pool.connection_class = type("Connection", (_Resettable, pool.connection_class), {})
    return client


class _Resettable(AbstractConnection):
    """uvloop says RuntimeError where a connection was reset before it was written to; redis-py expects OSError."""

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        try:
            await super().send_packed_command(command, check_health)
        except RuntimeError as error:
            await self.disconnect(nowait=True)
            raise RedisConnectionError(str(error)) from error


class RedisStockCache:
    """Stock as JSON under `stock:v1:<sku>`, kept for the hard age."""

    def __init__(self, client: Redis, breaker: CircuitBreaker, keep_s: float) -> None:
        self._client = client
        self._breaker = breaker
        self._keep_ms = round(keep_s * 1000)
        self._slots = asyncio.Semaphore(CONNECTIONS)

    async def get_many(self, skus: Sequence[str]) -> dict[str, Stock]:
        """Return what is there; nothing when Redis is away."""
        try:
            async with self._slots, self._breaker.guard():
                values = await self._client.mget([PREFIX + sku for sku in skus])
        except (CallNotPermitted, RedisError, OSError, TimeoutError):
            return {}
        stocks = (_read(value) for value in values if value is not None)
        return {stock.sku.sku: stock for stock in stocks if stock}

    async def put_many(self, stocks: Iterable[Stock]) -> None:
        """Keep these, if Redis is there."""
        try:
            async with self._slots, self._breaker.guard(), self._client.pipeline(transaction=False) as pipe:
                for stock in stocks:
                    pipe.set(PREFIX + stock.sku.sku, _STOCK.dump_json(stock), px=self._keep_ms)
                await pipe.execute()
        except (CallNotPermitted, RedisError, OSError, TimeoutError):
            return

    async def check(self) -> None:
        """Ask for nothing."""
        async with self._slots, self._breaker.guard():
            await self._client.ping()

    async def close(self) -> None:
        """Disconnect."""
        await self._client.aclose()


def _read(value: bytes | str) -> Stock | None:
    try:
        return _STOCK.validate_json(value)
    except ValidationError:
        log.warning("cache entry unreadable")
        return None
