"""A degradation engine in a process of its own, and both ends of its topics."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx
import psutil
from aiokafka import AIOKafkaConsumer

from resilience_cli.stack import free_ports
from resilience_contracts import (
    Event,
    HealthObserved,
    LevelChanged,
    LevelState,
    Observation,
    Outcome,
    Policy,
    ProbeReport,
    Topic,
    decode,
    encode,
)
from resilience_runtime.kafka.publisher import KafkaPublisher

READY_S = 60.0
POLL_S = 0.1
MONITOR = "/services/health-monitor/test"

DeadLetter = tuple[bytes | None, dict[str, bytes]]
"""Its value and headers."""


class EngineProcess:
    """`python -m degradation_engine`, started, killed and looked at."""

    def __init__(self, bootstrap: str, directory: Path, *, instance: str | None = None, **env: str) -> None:
        self.port, self.metrics_port = free_ports(2)
        self.instance = instance or f"engine-{uuid.uuid4().hex[:8]}"
        self._env = {
            **os.environ,
            "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
            "PORT": str(self.port),
            "METRICS_PORT": str(self.metrics_port),
            "INSTANCE": self.instance,
            **env,
        }
        self.log = directory / f"{self.instance}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> EngineProcess:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "degradation_engine"],
                cwd=self.log.parent,
                env=self._env,
                stdout=log,
                stderr=log,
            )
        return self

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Ask it to stop and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    @property
    def written(self) -> list[str]:
        """Names of what it left in its working directory, its log aside."""
        return [path.name for path in self.log.parent.iterdir() if path != self.log]

    def rss_mb(self) -> float:
        return float(psutil.Process(self.process.pid).memory_info().rss) / 1e6

    async def status(self, path: str) -> int:
        async with httpx.AsyncClient(trust_env=False) as client:
            try:
                return (await client.get(f"http://127.0.0.1:{self.port}{path}")).status_code
            except httpx.HTTPError:
                return 0

    async def metric(self, name: str) -> float:
        """Return the sum of a metric over its labels."""
        async with httpx.AsyncClient(trust_env=False) as client:
            text = (await client.get(f"http://127.0.0.1:{self.metrics_port}/metrics/")).text
        lines = (line for line in text.splitlines() if line.startswith((f"{name} ", f"{name}{{")))
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    async def taken(self) -> float:
        """Return how many health events it has taken; 0 before it answers."""
        try:
            return await self.metric("degradation_engine_events_total")
        except httpx.HTTPError:
            return 0.0

    async def wait_ready(self, timeout_s: float = READY_S) -> float:
        """Return how many seconds it took."""
        began_s = time.monotonic()
        while await self.status("/health/ready") != httpx.codes.OK:
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            assert time.monotonic() - began_s < timeout_s, self.log.read_text()[-3000:]
            await asyncio.sleep(POLL_S)
        return time.monotonic() - began_s


@dataclass
class Ear:
    """Everything that was published on some topics since it began to listen."""

    events: list[Event] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)

    def states(self, scope: str) -> list[LevelState]:
        return [event for event in self.events if isinstance(event, LevelState) and event.scope == scope]

    def changes(self, scope: str) -> list[LevelChanged]:
        return [event for event in self.events if isinstance(event, LevelChanged) and event.scope == scope]

    def steps(self, scope: str) -> list[tuple[str, str]]:
        """Return from where to where the level went; a change that a killed engine announced twice is one."""
        once = {change.version.ordered(): change for change in self.changes(scope)}
        return [(change.from_level, change.to_level) for change in once.values()]

    def letters_since(self, began_ms: int) -> dict[tuple[bytes, bytes], DeadLetter]:
        """Return dead letters by the place of the event, of events stored since then.

        A letter may come twice, and late: what an engine that was killed had taken is taken again.
        """
        return {
            (some["dlq_original_partition"], some["dlq_original_offset"]): (value, some)
            for value, some in self.letters
            if int(some["dlq_original_timestamp"]) >= began_ms
        }

    async def until(self, condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline_s, self.summary()
            await asyncio.sleep(POLL_S)

    def summary(self) -> str:
        states = [event for event in self.events if isinstance(event, LevelState)]
        return "\n".join(f"{s.scope} {s.level} {s.version.ordered()} {s.cause}" for s in states[-20:])


@asynccontextmanager
async def listening(bootstrap: str, *topics: str) -> AsyncIterator[Ear]:
    """Listen to topics from now on; dead letters are kept raw."""
    consumer = AIOKafkaConsumer(
        *topics, bootstrap_servers=bootstrap, group_id=None, auto_offset_reset="latest"
    )
    await consumer.start()
    await consumer.seek_to_end()
    for part in consumer.assignment():
        await consumer.position(part)
    ear = Ear()
    task = asyncio.create_task(_listen(consumer, ear))
    try:
        yield ear
    finally:
        task.cancel()
        await asyncio.wait({task})
        await consumer.stop()


async def _listen(consumer: AIOKafkaConsumer, ear: Ear) -> None:
    async for record in consumer:
        if record.topic.endswith(".dlq"):
            ear.letters.append((record.value, dict(record.headers)))
        else:
            ear.events.append(decode(record.value, record.headers).event)


class Monitor:
    """Reports on the dependencies of some scopes, as the health monitor does."""

    def __init__(self, publisher: KafkaPublisher, policy: Policy, scopes: Iterable[str]) -> None:
        self._publisher = publisher
        self._policy = policy
        self._recent: dict[str, dict[str, list[Observation]]] = {
            scope: {name: [] for name in policy.dependencies} for scope in scopes
        }
        self._boot = uuid.uuid4().hex[:8]
        self._sequence = 0
        self.down: dict[str, set[str]] = {scope: set() for scope in self._recent}

    async def report(self, *, rounds: int = 1, pause_s: float = 0.2) -> None:
        """Report everything so many times."""
        for _ in range(rounds):
            await asyncio.gather(*(self._report_scope(scope) for scope in self._recent))
            await asyncio.sleep(pause_s)

    async def keep_reporting(self, pause_s: float = 0.5) -> None:
        while True:
            await self.report(pause_s=pause_s)

    async def _report_scope(self, scope: str) -> None:
        for name, rule in self._policy.dependencies.items():
            await self._publisher.publish(*encode(self._observe(scope, name, rule.interval_s), MONITOR))

    def _observe(self, scope: str, name: str, interval_s: float) -> HealthObserved:
        now = datetime.now(UTC)
        outcome = Outcome.TIMEOUT if name in self.down[scope] else Outcome.OK
        recent = self._recent[scope][name]
        recent.append(Observation(outcome=outcome, latency_ms=3, at=now))
        del recent[:-12]
        self._sequence += 1
        return HealthObserved(
            scope=scope,
            dependency=name,
            observer="monitor-1",
            boot=self._boot,
            sequence=self._sequence,
            observed_at=now,
            probe=ProbeReport(recent=tuple(recent), interval_s=interval_s),
        )


def versions_never_go_back(states: Iterable[LevelState]) -> bool:
    order = [state.version.ordered() for state in states]
    return order == sorted(order)


def new_scope() -> str:
    return f"test-{uuid.uuid4().hex[:12]}"


FEED_TOPICS: tuple[str, ...] = (Topic.LEVELS, Topic.LEVEL_CHANGES)
Headers = Mapping[str, bytes]
