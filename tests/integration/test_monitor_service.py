"""The whole process on a real Kafka: what it publishes, what it shows, how it starts and stops."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from aiokafka import AIOKafkaConsumer

from resilience_cli.stack import (
    Place,
    Redis,
    Running,
    await_ready,
    destroy,
    free_ports,
    halt,
    start,
)
from resilience_cli.topics import apply_declared
from resilience_contracts import HealthObserved, Outcome, Topic, decode, default_policy_text
from tests.fixtures.services import S3Access, StandIn

MEGABYTE = 1024 * 1024
NAMES = ("openai", "postgresql", "redis", "s3")
SOUND = "this monitor itself looks sound"
HITS = {Outcome.OK, Outcome.SLOW}


class Process:
    """One `python -m health_monitor`."""

    def __init__(self, process: asyncio.subprocess.Process, env: Mapping[str, str], log: Path) -> None:
        self.process = process
        self.env = env
        self.log = log

    @property
    def pid(self) -> int:
        return self.process.pid

    async def get(self, path: str, port: str = "PORT") -> httpx.Response:
        url = f"http://127.0.0.1:{self.env[port]}{path}"
        async with httpx.AsyncClient(trust_env=False, timeout=2) as client:
            return await client.get(url)

    async def ready(self) -> None:
        async with asyncio.timeout(30):
            while True:
                with suppress(httpx.TransportError):
                    if (await self.get("/health/ready")).status_code == httpx.codes.OK:
                        return
                assert self.process.returncode is None, self.log.read_text()
                await asyncio.sleep(0.05)

    async def probes(self) -> dict[str, Any]:
        answer = await self.get("/v1/probes")
        return {probe["dependency"]: probe for probe in answer.json()["probes"]}

    async def until_last(self, dependency: str, *outcomes: Outcome) -> None:
        async with asyncio.timeout(20):
            while True:
                probe: dict[str, Any] = (await self.probes())[dependency]
                if probe["last"] and probe["last"]["outcome"] in outcomes:
                    return
                await asyncio.sleep(0.05)


@asynccontextmanager
async def running(env: Mapping[str, str], tmp_path: Path) -> AsyncIterator[Process]:
    log = tmp_path / "monitor.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "health_monitor", env={**os.environ, **env}, stderr=output
        )
    try:
        yield Process(process, env, log)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            await asyncio.wait_for(process.wait(), 15)


@pytest.fixture
def base_env(tmp_path: Path) -> dict[str, str]:
    """Settings of a monitor that has nothing to probe yet, whose Kafka is away."""
    port, metrics_port, nobody = free_ports(3)
    quick = tmp_path / "policy.yaml"
    quick.write_text(
        re.sub(r"(?m)^    interval_s: .*", "    interval_s: 0.8", default_policy_text()), encoding="utf-8"
    )
    return {
        "PORT": str(port),
        "METRICS_PORT": str(metrics_port),
        "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{nobody}",
        "RESILIENCE_SCOPE": f"s-{uuid.uuid4().hex}",
        "INSTANCE": "monitor-1",
        "STATE_DIR": str(tmp_path),
        "RESILIENCE_POLICY_FILE": str(quick),
        **dict.fromkeys(("DATABASE_URL", "REDIS_URL", "S3_BUCKET", "OPENAI_BASE_URL", "DISABLED_PROBES"), ""),
    }


@pytest.fixture
def stores(postgres_url: str, redis_url: str, s3: S3Access) -> dict[str, str]:
    return {
        "DATABASE_URL": postgres_url,
        "REDIS_URL": redis_url,
        "S3_ENDPOINT_URL": s3.endpoint_url,
        "S3_BUCKET": s3.bucket,
        "AWS_REGION": s3.region,
        "AWS_ACCESS_KEY_ID": s3.access_key_id,
        "AWS_SECRET_ACCESS_KEY": s3.secret_access_key,
    }


@pytest.fixture
def env(
    base_env: dict[str, str], stores: dict[str, str], openai_standin: StandIn, kafka_bootstrap: str
) -> dict[str, str]:
    """Settings of a monitor that probes four real servers."""
    apply_declared(kafka_bootstrap)
    openai = {"OPENAI_BASE_URL": openai_standin.base_url, "OPENAI_API_KEY": openai_standin.api_key}
    return {**base_env, **stores, **openai, "KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap}


@pytest.fixture
def own_redis(services_place: Place) -> Iterator[Running]:
    """A Valkey that the test may break."""
    place = Place(services_place.root / f"monitor-{uuid.uuid4().hex}")
    place.root.mkdir(mode=0o755)
    server = start(Redis(place, free_ports(1)[0]), place, "the port of this test")
    await_ready(server, 30)
    yield server
    halt(server)


async def published(
    env: Mapping[str, str], enough: Callable[[list[HealthObserved]], bool]
) -> list[HealthObserved]:
    """Read the scope's events from the start of the topic until there are enough."""
    consumer = AIOKafkaConsumer(
        Topic.HEALTH, bootstrap_servers=env["KAFKA_BOOTSTRAP_SERVERS"], auto_offset_reset="earliest"
    )
    await consumer.start()
    events: list[HealthObserved] = []
    try:
        async with asyncio.timeout(30):
            while not enough(events):
                record = await consumer.getone()
                if record.key != env["RESILIENCE_SCOPE"].encode():
                    continue
                envelope = decode(record.value, record.headers)
                assert envelope.source == "/services/health-monitor/monitor-1"
                assert isinstance(envelope.event, HealthObserved)
                events.append(envelope.event)
    finally:
        await consumer.stop()
    return events


def outcomes(events: list[HealthObserved], dependency: str) -> list[Outcome]:
    return [
        event.probe.recent[-1].outcome for event in events if event.probe and event.dependency == dependency
    ]


async def test_each_dependency_is_seen_and_published(env: dict[str, str], tmp_path: Path) -> None:
    async with running(env, tmp_path) as monitor:
        await monitor.ready()
        events = await published(env, lambda seen: all(HITS & set(outcomes(seen, name)) for name in NAMES))
        board = await monitor.probes()
        metrics = (await monitor.get("/metrics", "METRICS_PORT")).text
        rss = psutil.Process(monitor.pid).memory_info().rss

    assert len({event.boot for event in events}) == 1
    assert all(later.sequence > earlier.sequence for earlier, later in pairwise(events))
    assert all(board[name]["probing"] == "probed" for name in NAMES)
    counters = {
        f'health_monitor_probes_total{{dependency="{name}",outcome="{outcome}"}}'
        for name in NAMES
        for outcome in outcomes(events, name)
    }
    assert all(counter in metrics for counter in counters)
    assert rss < 150 * MEGABYTE
    assert monitor.process.returncode == 0


async def test_a_disabled_probe_is_silent(env: dict[str, str], tmp_path: Path) -> None:
    env |= {"DISABLED_PROBES": "redis, openai"}
    async with running(env, tmp_path) as monitor:
        await monitor.ready()
        events = await published(env, lambda seen: len(seen) >= 4)
        board = await monitor.probes()

    assert {event.dependency for event in events} == {"postgresql", "s3"}
    assert board["redis"]["probing"] == board["openai"]["probing"] == "disabled"
    assert board["redis"]["last"] is None


async def test_by_default_a_killed_server_is_published_as_three_misses_within_eight_seconds(
    env: dict[str, str], own_redis: Running, tmp_path: Path
) -> None:
    env |= {"REDIS_URL": f"redis://127.0.0.1:{own_redis.part.port}/0", "RESILIENCE_POLICY_FILE": ""}
    async with running(env, tmp_path) as monitor:
        await monitor.ready()
        killed_at = datetime.now(UTC)
        destroy(own_redis)
        events = await published(env, lambda seen: outcomes(seen, "redis").count(Outcome.REFUSED) >= 3)

    assert events[-1].observed_at - killed_at < timedelta(seconds=8.5)
    assert HITS & set(outcomes(events, "postgresql"))


async def test_no_secret_leaves_the_process(env: dict[str, str], tmp_path: Path) -> None:
    secrets = [f"secret-{number}-{uuid.uuid4().hex}" for number in range(4)]
    env |= {
        "DATABASE_URL": f"postgresql://inventory:{secrets[0]}@" + env["DATABASE_URL"].partition("@")[2],
        "REDIS_URL": f"redis://nobody:{secrets[1]}@" + env["REDIS_URL"].partition("//")[2],
        "AWS_SECRET_ACCESS_KEY": secrets[2],
        "OPENAI_API_KEY": secrets[3],
        "LOG_LEVEL": "DEBUG",
    }
    async with running(env, tmp_path) as monitor:
        await monitor.ready()
        await monitor.until_last("postgresql", Outcome.AUTH)
        await monitor.until_last("redis", Outcome.AUTH)
        events = await published(env, lambda seen: len(seen) >= 4)
        shown = (await monitor.get("/v1/probes")).text + (await monitor.get("/metrics", "METRICS_PORT")).text

    said = shown + monitor.log.read_text() + "".join(event.model_dump_json() for event in events)
    assert not [secret for secret in secrets if secret in said]


async def test_without_kafka_it_probes_on_and_stops_in_time(
    env: dict[str, str], base_env: dict[str, str], tmp_path: Path
) -> None:
    env |= {"KAFKA_BOOTSTRAP_SERVERS": base_env["KAFKA_BOOTSTRAP_SERVERS"], "PUBLISH_CAPACITY": "1"}
    async with running(env, tmp_path) as monitor:
        await monitor.ready()
        async with asyncio.timeout(20):
            while len((await monitor.probes())["redis"]["recent"]) < 3:  # noqa: ASYNC110 - of another process
                await asyncio.sleep(0.1)
        live = await monitor.get("/health/live")
        metrics = (await monitor.get("/metrics", "METRICS_PORT")).text
        began_s = asyncio.get_running_loop().time()
        monitor.process.terminate()
        code = await asyncio.wait_for(monitor.process.wait(), 10)

    dropped = [line for line in metrics.splitlines() if line.startswith("health_monitor_events_lost_total ")]
    assert live.status_code == httpx.codes.OK
    assert float(dropped[0].split()[1]) > 0
    assert code == 0
    assert asyncio.get_running_loop().time() - began_s < 8


async def test_a_timeout_of_a_monitor_that_was_frozen_itself_is_not_run(
    base_env: dict[str, str], openai_standin: StandIn, tmp_path: Path
) -> None:
    env = {**base_env, "OPENAI_BASE_URL": openai_standin.base_url, "OPENAI_API_KEY": openai_standin.api_key}
    openai_standin.obey(latency_ms=60_000)
    async with running(env, tmp_path) as monitor, asyncio.timeout(60):
        await monitor.ready()
        seen = {Outcome.TIMEOUT.value}
        while Outcome.NOT_RUN not in seen:
            monitor.process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(3)
            monitor.process.send_signal(signal.SIGCONT)
            await monitor.until_last("openai", Outcome.TIMEOUT, Outcome.NOT_RUN)
            seen = {observation["outcome"] for observation in (await monitor.probes())["openai"]["recent"]}
    openai_standin.obey()

    assert seen == {Outcome.TIMEOUT, Outcome.NOT_RUN}


async def test_when_everything_fails_it_looks_at_itself(base_env: dict[str, str], tmp_path: Path) -> None:
    nobody = base_env["KAFKA_BOOTSTRAP_SERVERS"]
    base_env |= {"REDIS_URL": f"redis://{nobody}/0", "DATABASE_URL": f"postgresql://a:b@{nobody}/c"}
    async with running(base_env, tmp_path) as monitor:
        await monitor.ready()
        async with asyncio.timeout(10):
            while SOUND not in monitor.log.read_text():  # noqa: ASYNC110 - a condition of another process
                await asyncio.sleep(0.05)
        metrics = (await monitor.get("/metrics", "METRICS_PORT")).text

    assert "health_monitor_self_suspect 0.0" in metrics


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PORT", None),
        ("METRICS_PORT", None),
        ("REDIS_URL", "http://example.com"),
        ("DATABASE_URL", "mysql://root@localhost/inventory"),
    ],
)
async def test_a_fault_that_only_the_start_shows_is_one_line_that_names_the_variable(
    variable: str, value: str | None, base_env: dict[str, str], tmp_path: Path
) -> None:
    async with await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0) as taken:
        base_env[variable] = value or str(taken.sockets[0].getsockname()[1])
        async with running(base_env, tmp_path) as monitor:
            code = await asyncio.wait_for(monitor.process.wait(), 15)

    complaints = [line for line in monitor.log.read_text().splitlines() if "warning" not in line]
    assert code == 2
    assert len(complaints) == 1
    assert variable in complaints[0]
    assert "Traceback" not in complaints[0]


async def test_every_log_line_is_json(base_env: dict[str, str], tmp_path: Path) -> None:
    async with running(base_env, tmp_path) as monitor:
        await monitor.ready()

    lines = [json.loads(line) for line in monitor.log.read_text().splitlines()]
    assert {line["dependency"] for line in lines if "not probed" in line["event"]} == set(NAMES)
