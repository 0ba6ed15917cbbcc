"""Event to consumer: a health event becomes a level in a consumer's view, beside the same two hops over bare aiokafka.

The floor: one process reads each record from one topic and writes it to another with acks=all, and a bare consumer
reads it there. Ours: the engine, and what inventory-api and flag-service follow the level with (ReplicaReader, codec
and View). Bound: p99 at most twice the floor's, in one run, on one broker.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from resilience_contracts import (
    HealthObserved,
    LevelState,
    Observation,
    Outcome,
    ProbeReport,
    Topic,
    View,
    decode,
    default_policy,
    encode,
)
from resilience_runtime import Message, ReplicaReader
from resilience_runtime.lifecycle import collect_seldom
from tests.fixtures.stack import RunningStack, running_stack

EVENTS = 1500
RATE_PER_S = 50
WARM_UP = 50
TIMES_FLOOR = 2.0
RESULT = Path(".stack/bench/hops.json")

See = Callable[[bytes | None], None]
Listen = Callable[[See], AbstractAsyncContextManager[None]]

RELAY = """
import asyncio, sys
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
async def main(bootstrap, source, target):
    consumer = AIOKafkaConsumer(source, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)
    async with consumer, producer:
        async for record in consumer:
            await producer.send_and_wait(target, record.value, record.key)
asyncio.run(main(*sys.argv[1:]))
"""


@dataclass(frozen=True, slots=True)
class Hops:
    """Latency in milliseconds of one way, over all measured events."""

    name: str
    latencies_ms: list[float]

    def quantile(self, percent: int) -> float:
        return statistics.quantiles(self.latencies_ms, n=100)[percent - 1]


def down_event(scope: str) -> HealthObserved:
    """Return what demotes a fresh scope at once: PostgreSQL missed three times."""
    now = datetime.now(UTC)
    seen = [
        Observation(outcome=Outcome.REFUSED, latency_ms=1, at=now - timedelta(seconds=age))
        for age in (2, 1, 0)
    ]
    return HealthObserved(
        scope=scope,
        dependency="postgresql",
        observer="bench",
        boot="bench",
        sequence=0,
        observed_at=now,
        probe=ProbeReport(recent=tuple(seen), interval_s=60),
    )


async def measure(
    bootstrap: str, listen: Listen, send: Callable[[AIOKafkaProducer, str], Awaitable[object]], name: str
) -> Hops:
    """Send at a steady rate and note when each event's result is first seen."""
    sent: dict[str, float] = {}
    got: dict[str, float] = {}
    total, all_seen = WARM_UP + EVENTS, asyncio.Event()

    def see(key: bytes | None) -> None:
        scope = (key or b"").decode()
        if scope in sent and scope not in got:
            got[scope] = time.perf_counter()
        if len(got) == total:
            all_seen.set()

    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)
    async with producer, asyncio.timeout(180), listen(see):
        run = uuid.uuid4().hex[:8]
        start = time.perf_counter()
        for index in range(total):
            await asyncio.sleep(max(0.0, start + index / RATE_PER_S - time.perf_counter()))
            scope = f"bench-{run}-{index}"
            sent[scope] = time.perf_counter()
            await send(producer, scope)
        await all_seen.wait()
    measured = list(sent)[WARM_UP:]
    return Hops(name, [(got[scope] - sent[scope]) * 1000 for scope in measured])


@asynccontextmanager
async def bare_consumer(bootstrap: str, topic: str, see: See) -> AsyncIterator[None]:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="latest")

    async def receive() -> None:
        async for record in consumer:
            see(record.key)

    async with consumer:
        await consumer.seek_to_end()
        async with running(receive()):
            yield


@asynccontextmanager
async def view_of_levels(bootstrap: str, see: See) -> AsyncIterator[None]:
    view = View(default_policy())

    def apply(message: Message) -> None:
        state = decode(message.value or b"", message.headers).event
        if isinstance(state, LevelState):
            view.apply_level(state)
            see(message.key)

    reader = ReplicaReader(bootstrap, (Topic.LEVELS,), apply)
    async with running(reader.run()):
        await reader.wait_caught_up()
        yield


@asynccontextmanager
async def running(work: Coroutine[object, object, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


@asynccontextmanager
async def relay(bootstrap: str, source: str, target: str) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", RELAY, bootstrap, source, target)
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


async def floor(stack: RunningStack) -> Hops:
    """Measure two hops with nothing but aiokafka between."""
    source, target = (f"bench-{uuid.uuid4().hex[:8]}" for _ in range(2))
    stack.create_topic(source)
    stack.create_topic(target)

    async def send(producer: AIOKafkaProducer, scope: str) -> None:
        encoded = encode(down_event(scope), "/bench")
        await producer.send(source, encoded.value, encoded.key)

    async with relay(stack.bootstrap, source, target):
        return await measure(
            stack.bootstrap, partial(bare_consumer, stack.bootstrap, target), send, "bare aiokafka relay"
        )


async def engine(stack: RunningStack) -> Hops:
    """Measure health event to a consumer's view of the level, through the running engine."""

    async def send(producer: AIOKafkaProducer, scope: str) -> None:
        encoded = encode(down_event(scope), "/bench")
        await producer.send(encoded.topic, encoded.value, encoded.key, headers=list(encoded.headers))

    return await measure(stack.bootstrap, partial(view_of_levels, stack.bootstrap), send, "engine and view")


def report(hops: list[Hops]) -> bool:
    """Print the table, keep the figures, answer whether the bound holds."""
    print(f"{'two hops, ms':24}{'p50':>8}{'p95':>8}{'p99':>8}   ({EVENTS} events, {RATE_PER_S}/s)")
    for way in hops:
        print(f"{way.name:24}" + "".join(f"{way.quantile(p):8.2f}" for p in (50, 95, 99)))
    ratio = hops[1].quantile(99) / hops[0].quantile(99)
    print(f"p99 ratio {ratio:.2f}, bound {TIMES_FLOOR}")
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    figures = {way.name: {p: way.quantile(p) for p in (50, 95, 99)} for way in hops}
    RESULT.write_text(json.dumps({**figures, "p99_ratio": ratio}, indent=2), encoding="utf-8")
    return ratio <= TIMES_FLOOR


def main() -> int:
    """Run both ways on one private broker, collecting garbage as a service does."""
    collect_seldom()
    with (
        tempfile.TemporaryDirectory() as directory,
        running_stack(Path(directory), parts=("kafka", "degradation-engine")) as stack,
    ):
        hops = [asyncio.run(floor(stack)), asyncio.run(engine(stack))]
    return 0 if report(hops) else 1


if __name__ == "__main__":
    sys.exit(main())
