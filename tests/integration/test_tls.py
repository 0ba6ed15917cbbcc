"""PostgreSQL and Redis by TLS: what is asked for in the address is done, and a wrong certificate is refused."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from sqlalchemy import NullPool, text

from health_monitor.adapters.postgresql import PostgresqlProbe
from health_monitor.adapters.redis import RedisProbe
from health_monitor.attempt import Probe
from health_monitor.domain import ProbeError
from inventory_api.adapters.cache import connect as connect_redis
from inventory_api.adapters.sql.url import engine_on
from resilience_cli.stack.certificates import AUTHORITY, EXPIRED, VALID, write_certificates
from resilience_contracts import Outcome
from tests.fixtures.tls import SSL_REQUEST, speaking_no_tls, speaking_tls

DEADLINE_S = 5.0


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is, by TLS and without, and the file of authorities that a client goes by."""

    plain: str
    port: int
    authority: Path

    @property
    def postgresql(self) -> str:
        return f"{moved(self.plain, self.port)}?sslmode=verify-full&sslrootcert={self.authority}"

    @property
    def redis(self) -> str:
        return f"{moved(self.plain, self.port).replace('redis', 'rediss', 1)}?ssl_ca_certs={self.authority}"


def moved(url: str, port: int) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition(":")[0] + f":{port}").geturl()


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    write_certificates(tmp_path)
    return tmp_path


@pytest.fixture
async def postgresql(database_url: str, certificates: Path) -> AsyncIterator[Address]:
    upstream = urlsplit(database_url).port or 5432
    async with speaking_tls(upstream, certificates / VALID, asked_first=True) as port:
        yield Address(database_url, port, certificates / AUTHORITY)


@pytest.fixture
async def redis(redis_url: str, certificates: Path) -> AsyncIterator[Address]:
    upstream = urlsplit(redis_url).port or 6379
    async with speaking_tls(upstream, certificates / VALID, asked_first=False) as port:
        yield Address(redis_url, port, certificates / AUTHORITY)


async def test_the_probes_ask_by_tls(postgresql: Address, redis: Address) -> None:
    assert await refusal(PostgresqlProbe(postgresql.postgresql, DEADLINE_S)) is None
    assert await refusal(RedisProbe(redis.redis, "probe", DEADLINE_S)) is None


async def test_inventory_api_migrates_and_reads_by_tls(postgresql: Address) -> None:
    migrating = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "inventory_api.migrations"),
        env={**os.environ, "DATABASE_URL": postgresql.postgresql},
    )

    assert await asyncio.wait_for(migrating.wait(), 60) == 0
    assert await skus(postgresql.postgresql) == await skus(postgresql.plain) == 0


async def test_inventory_api_caches_by_tls(redis: Address) -> None:
    client = connect_redis(redis.redis, DEADLINE_S)
    try:
        await client.set("by-tls", b"yes", ex=5)
        assert await client.get("by-tls") == b"yes"
    finally:
        await client.aclose()


@pytest.fixture
def another_authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("another")
    write_certificates(folder)
    return folder / AUTHORITY


async def test_a_certificate_of_another_authority_is_down_with_its_reason(
    postgresql: Address, redis: Address, another_authority: Path
) -> None:
    expected = (Outcome.REFUSED, "SSLCertVerificationError")

    database = PostgresqlProbe(replace(postgresql, authority=another_authority).postgresql, DEADLINE_S)
    cache = RedisProbe(replace(redis, authority=another_authority).redis, "probe", DEADLINE_S)

    assert await refusal(database) == expected
    assert await refusal(cache) == expected


async def test_an_expired_certificate_is_down_with_its_reason(
    database_url: str, redis_url: str, certificates: Path
) -> None:
    expired, authority = certificates / EXPIRED, certificates / AUTHORITY
    database, cache = urlsplit(database_url).port or 5432, urlsplit(redis_url).port or 6379
    async with (
        speaking_tls(database, expired, asked_first=True) as first,
        speaking_tls(cache, expired, asked_first=False) as second,
    ):
        probes = (
            PostgresqlProbe(Address(database_url, first, authority).postgresql, DEADLINE_S),
            RedisProbe(Address(redis_url, second, authority).redis, "probe", DEADLINE_S),
        )

        refused = [await refusal(probe) for probe in probes]

    assert refused == [(Outcome.REFUSED, "SSLCertVerificationError")] * 2


async def test_a_server_that_speaks_no_tls_is_down_and_gets_no_password() -> None:
    async with speaking_no_tls() as (port, heard):
        url = f"postgresql://somebody:a-password@127.0.0.1:{port}/stock?sslmode=require"
        refused = await refusal(PostgresqlProbe(url, DEADLINE_S))

    assert refused == (Outcome.PROTOCOL, "no TLS, or not PostgreSQL")
    assert heard == SSL_REQUEST


async def test_inventory_api_does_not_trust_another_authority(
    postgresql: Address, redis: Address, another_authority: Path
) -> None:
    client = connect_redis(replace(redis, authority=another_authority).redis, DEADLINE_S)
    attempts: tuple[Callable[[], Awaitable[object]], ...] = (
        lambda: skus(replace(postgresql, authority=another_authority).postgresql),
        lambda: client.get("by-tls"),
    )

    for attempt in attempts:
        with pytest.raises(Exception, match="CERTIFICATE_VERIFY_FAILED"):
            await attempt()
    await client.aclose()


async def refusal(probe: Probe) -> tuple[Outcome, str] | None:
    try:
        await probe.check()
    except ProbeError as error:
        return error.outcome, error.detail
    finally:
        await probe.close()
    return None


async def skus(url: str) -> int:
    engine = engine_on(url, pool={"poolclass": NullPool}, timeout=DEADLINE_S)
    try:
        async with engine.connect() as connection:
            return int((await connection.execute(text("SELECT count(*) FROM skus"))).scalar_one())
    finally:
        await engine.dispose()
