"""Every probe against the real server: it works, it is refused, it is frozen, it is killed, it comes back."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from urllib.parse import urlsplit

import asyncpg
import psutil
import pytest
from redis.asyncio import Redis as RedisClient

from health_monitor.adapters.openai import OpenaiProbe
from health_monitor.adapters.postgresql import PostgresqlProbe
from health_monitor.adapters.redis import RedisProbe
from health_monitor.adapters.s3 import Bucket, S3Probe
from health_monitor.attempt import Attempts, Limits, Probe
from health_monitor.domain import Result
from resilience_cli.stack import (
    S3,
    OpenAI,
    Part,
    Place,
    PostgreSQL,
    Redis,
    await_ready,
    destroy,
    free_ports,
    halt,
    start,
)
from resilience_cli.stack import openai as stand_in
from resilience_cli.stack import s3 as moto
from resilience_cli.stack.process import freeze, thaw
from resilience_cli.stack.runner import Running
from resilience_contracts import Outcome
from tests.fixtures.services import S3Access, StandIn

DEADLINE_S = 2.0
KEY = "health-monitor/test"
KINDS = ("openai", "postgresql", "redis", "s3")


def bucket_of(access: S3Access) -> Bucket:
    return Bucket(
        access.bucket, access.region, access.endpoint_url, access.access_key_id, access.secret_access_key
    )


@asynccontextmanager
async def attempting(name: str, probe: Probe, deadline_s: float = DEADLINE_S) -> AsyncIterator[Attempts]:
    attempts = Attempts(name, probe, Limits(60_000, deadline_s), lambda: 0.0)
    try:
        yield attempts
    finally:
        await attempts.close()


async def once(name: str, probe: Probe) -> Result:
    async with attempting(name, probe) as attempts:
        return await attempts.run()


async def test_postgresql_answers_on_a_kept_and_a_fresh_connection(postgres_url: str) -> None:
    watcher = await asyncpg.connect(postgres_url)
    count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'health-monitor'"
    async with attempting("postgresql", PostgresqlProbe(postgres_url, DEADLINE_S)) as attempts:
        results = [await attempts.run() for _ in range(3)]
        kept = await watcher.fetchval(count)
    await watcher.close()

    assert {result.outcome for result in results} == {Outcome.OK}
    assert kept == 1


async def test_a_wrong_postgresql_password_is_auth(postgres_url: str) -> None:
    password = urlsplit(postgres_url).password or ""
    probe = PostgresqlProbe(postgres_url.replace(password, "wrong"), DEADLINE_S)

    result = await once("postgresql", probe)

    assert (result.outcome, result.detail) == (Outcome.AUTH, "InvalidPasswordError (28P01)")


async def test_a_missing_database_is_no_outage_but_no_success_either(postgres_url: str) -> None:
    result = await once(
        "postgresql", PostgresqlProbe(postgres_url.rpartition("/")[0] + "/nowhere", DEADLINE_S)
    )

    assert result.outcome is Outcome.PROTOCOL


async def test_a_kept_connection_that_the_server_ended_is_replaced(postgres_url: str) -> None:
    killer = await asyncpg.connect(postgres_url)
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'health-monitor'"
    async with attempting("postgresql", PostgresqlProbe(postgres_url, DEADLINE_S)) as attempts:
        first = await attempts.run()
        ended = await killer.fetch(end)
        later = [await attempts.run() for _ in range(2)]
    await killer.close()

    assert first.outcome is Outcome.OK
    assert len(ended) == 1
    assert later[-1].outcome is Outcome.OK


async def test_redis_is_written_read_and_left_clean(redis_url: str) -> None:
    result = await once("redis", RedisProbe(redis_url, KEY, DEADLINE_S))

    async with RedisClient.from_url(redis_url) as client:
        assert await client.exists(KEY) == 0
    assert result.outcome is Outcome.OK


async def test_a_wrong_redis_password_is_auth(redis_url: str) -> None:
    async with RedisClient.from_url(redis_url) as admin:
        await admin.acl_setuser(
            "monitor-test", enabled=True, passwords="+right", keys="*", commands=["+@all"]
        )
        address = urlsplit(redis_url)
        wrong = f"redis://monitor-test:wrong@{address.hostname}:{address.port}/0"
        right = wrong.replace("wrong", "right")
        results = [await once("redis", RedisProbe(url, KEY, DEADLINE_S)) for url in (wrong, right)]
        await admin.acl_setuser(
            "monitor-test", enabled=True, passwords="+right", keys="*", commands=["+@all", "-set"]
        )
        results.append(await once("redis", RedisProbe(right, KEY, DEADLINE_S)))
        await admin.acl_deluser("monitor-test")

    assert [result.outcome for result in results] == [Outcome.AUTH, Outcome.OK, Outcome.AUTH]


async def test_s3_is_put_got_compared_and_left_clean(s3: S3Access) -> None:
    bucket = bucket_of(s3)
    result = await once("s3", S3Probe(bucket, KEY, DEADLINE_S))

    client = s3.client()
    assert client.list_objects_v2(Bucket=s3.bucket, Prefix=KEY)["KeyCount"] == 0
    client.close()
    assert result.outcome is Outcome.OK


async def test_a_missing_bucket_is_no_success(s3: S3Access) -> None:
    result = await once("s3", S3Probe(replace(bucket_of(s3), name="nowhere"), KEY, DEADLINE_S))

    assert (result.outcome, result.detail) == (Outcome.PROTOCOL, "HTTP 404 NoSuchBucket")


def openai_probe(standin: StandIn) -> Probe:
    return OpenaiProbe(standin.base_url, standin.api_key, standin.model, DEADLINE_S)


@contextmanager
def told(standin: StandIn, **orders: object) -> Iterator[None]:
    standin.obey(**orders)
    try:
        yield
    finally:
        standin.obey()


async def test_openai_answers(openai_standin: StandIn) -> None:
    async with attempting("openai", openai_probe(openai_standin)) as attempts:
        results = [await attempts.run() for _ in range(7)]

    assert {result.outcome for result in results} == {Outcome.OK}


@pytest.mark.parametrize(
    ("orders", "outcome", "retry_after_s"),
    [
        ({"status": 401}, Outcome.AUTH, None),
        ({"status": 429, "retry_after_s": 9}, Outcome.RATE_LIMITED, 9),
        ({"status": 500}, Outcome.SERVER_ERROR, None),
        ({"malformed": True}, Outcome.PROTOCOL, None),
        ({"latency_ms": 60_000}, Outcome.TIMEOUT, None),
    ],
)
async def test_openai_failures(
    openai_standin: StandIn, orders: dict[str, object], outcome: Outcome, retry_after_s: float | None
) -> None:
    with told(openai_standin, **orders):
        result = await once("openai", openai_probe(openai_standin))

    assert (result.outcome, result.retry_after_s) == (outcome, retry_after_s)


class Breakable:
    """A real server of this test's own, and the probe that looks at it."""

    def __init__(self, kind: str, place: Place) -> None:
        self._kind = kind
        self._place = place
        self._part = self._make(free_ports(1)[0])
        self.running: Running
        self.start()

    def start(self) -> None:
        self.running = start(self._part, self._place, "the port of this test")
        await_ready(self.running, 60)

    def freeze(self) -> None:
        freeze(self._process)

    def thaw(self) -> None:
        thaw(self._process)

    def kill(self) -> None:
        destroy(self.running)

    def stop(self) -> None:
        halt(self.running)

    @property
    def _process(self) -> psutil.Process:
        process = self.running.ref.find()
        assert process is not None
        return process

    def _make(self, port: int) -> Part:
        parts: dict[str, type[OpenAI | PostgreSQL | Redis | S3]] = {
            "openai": OpenAI,
            "postgresql": PostgreSQL,
            "redis": Redis,
            "s3": S3,
        }
        return parts[self._kind](self._place, port)

    def probe(self) -> Probe:
        match self._part:
            case OpenAI() as part:
                return OpenaiProbe(part.base_url, stand_in.API_KEY, stand_in.MODEL, DEADLINE_S)
            case PostgreSQL() as part:
                return PostgresqlProbe(part.url, DEADLINE_S)
            case Redis() as part:
                return RedisProbe(part.url, KEY, DEADLINE_S)
            case S3() as part:
                keys = (moto.ACCESS_KEY_ID, moto.SECRET_ACCESS_KEY)
                return S3Probe(Bucket(moto.BUCKET, moto.REGION, part.endpoint, *keys), KEY, DEADLINE_S)
            case part:
                raise AssertionError(part)


@pytest.fixture(params=KINDS)
def breakable(request: pytest.FixtureRequest, services_place: Place) -> Iterator[Breakable]:
    place = Place(services_place.root / f"monitor-{uuid.uuid4().hex}")
    place.root.mkdir(mode=0o755)
    server = Breakable(request.param, place)
    yield server
    server.stop()


async def test_a_frozen_server_times_out_and_is_fine_once_it_goes_on(breakable: Breakable) -> None:
    async with attempting("it", breakable.probe()) as attempts:
        before = await attempts.run()
        breakable.freeze()
        frozen = [await attempts.run() for _ in range(3)]
        breakable.thaw()
        after = [await attempts.run() for _ in range(2)]

    assert before.outcome is Outcome.OK
    assert {result.outcome for result in frozen} == {Outcome.TIMEOUT}
    assert all(result.latency_ms == DEADLINE_S * 1000 for result in frozen)
    assert after[-1].outcome is Outcome.OK


async def test_a_killed_server_is_refused_at_once_and_fine_after_its_restart(breakable: Breakable) -> None:
    async with attempting("it", breakable.probe()) as attempts:
        before = await attempts.run()
        await asyncio.to_thread(breakable.kill)
        killed = [await attempts.run() for _ in range(3)]
        await asyncio.to_thread(breakable.start)
        after = [await attempts.run() for _ in range(2)]

    assert before.outcome is Outcome.OK
    assert {result.outcome for result in killed} == {Outcome.REFUSED}
    assert all(result.latency_ms < DEADLINE_S * 500 for result in killed)
    assert after[-1].outcome is Outcome.OK
