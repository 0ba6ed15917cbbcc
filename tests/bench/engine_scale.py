"""What an engine costs as scopes grow, and how fast it takes events beside a consumer that only parses JSON.

The pure engine runs in a process of its own per size, so that its memory is its own. Then one worker takes a backlog
from a real Kafka, as two others do in the same run that only parse JSON: a Faust agent, which is what the engine
stands on, and a bare aiokafka consumer. Bounds: 10,000 scopes of 4 dependencies under 300 MB; p99 of judging one event
under 1 ms of CPU; a third of the rate of the Faust agent. Half of the bare consumer's rate, which is printed too, is out
of reach of anything on Faust: the agent that does nothing stays far below it.
"""

from __future__ import annotations

import asyncio
import gc
import json
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from degradation_engine.domain import Engine
from resilience_contracts import (
    HealthObserved,
    Observation,
    Outcome,
    Policy,
    ProbeReport,
    Topic,
    default_policy,
    encode,
)
from tests.fixtures.stack import running_stack
from tests.integration.engine_process import EngineProcess

SIZES = (100, 1000, 10_000)
ROUNDS = 3
BACKLOG_SCOPES, BACKLOG_ROUNDS = 250, 40
PATIENCE_S = 300.0
RSS_BOUND_MB, P99_BOUND_US, RATE_SHARE = 300.0, 1000.0, 1 / 3
MONITOR = "/services/health-monitor/bench"
RESULT = Path(".stack/bench/engine_scale.json")


@dataclass(frozen=True)
class Cost:
    """What one size costs; times are CPU time."""

    scopes: int
    rss_mb: float
    mean_us: float
    p99_us: float
    tick_ms: float
    state_bytes: int


def reports(policy: Policy, scopes: int, start: datetime, sequence: int) -> Iterator[HealthObserved]:
    """Yield one round of reports of every dependency of every scope, spread over five seconds."""
    total = scopes * len(policy.dependencies)
    for index in range(total):
        scope, name = divmod(index, len(policy.dependencies))
        now = start + timedelta(milliseconds=5000 * index // total)
        seen = tuple(
            Observation(outcome=Outcome.OK, latency_ms=3, at=now - timedelta(seconds=5 * (11 - age)))
            for age in range(12)
        )
        yield HealthObserved(
            scope=f"store-{scope:05d}",
            dependency=list(policy.dependencies)[name],
            observer="monitor-1",
            boot="b",
            sequence=sequence,
            observed_at=now,
            probe=ProbeReport(recent=seen, interval_s=5),
        )


def cost(scopes: int) -> Cost:
    """Measure the pure engine in this process."""
    policy, start = default_policy(), datetime.now(UTC)
    engine, times_us, ticks_ms = Engine(policy), list[float](), list[float]()
    for number in range(ROUNDS):
        for event in reports(policy, scopes, start + timedelta(seconds=5 * number), number):
            began = time.process_time_ns()
            engine.observe(event, event.observed_at)
            times_us.append((time.process_time_ns() - began) / 1000)
        now, began = start + timedelta(seconds=5 * number + 5), time.process_time_ns()
        engine.tick(now)
        ticks_ms.append((time.process_time_ns() - began) / 1e6)
    gc.collect()
    return Cost(
        scopes,
        psutil.Process().memory_info().rss / 1e6,
        statistics.mean(times_us),
        statistics.quantiles(times_us, n=100)[98],
        statistics.median(ticks_ms),
        len(engine.dump("store-00000")),
    )


def cost_apart(scopes: int) -> Cost:
    """Measure in a process of its own."""
    code = (
        "import json; from dataclasses import asdict; from tests.bench.engine_scale import cost; "
        f"print(json.dumps(asdict(cost({scopes}))))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return Cost(**json.loads(run.stdout))


async def fill(bootstrap: str) -> int:
    """Store a backlog of reports and return how many."""
    policy, sent = default_policy(), 0
    start = datetime.now(UTC) - timedelta(seconds=5 * BACKLOG_ROUNDS)
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all") as producer:
        for number in range(BACKLOG_ROUNDS):
            for event in reports(policy, BACKLOG_SCOPES, start + timedelta(seconds=5 * number), number):
                record = encode(event, MONITOR)
                await producer.send(
                    record.topic,
                    record.value,
                    record.key,
                    headers=list(record.headers),
                    timestamp_ms=int(event.observed_at.timestamp() * 1000),
                )
                sent += 1
        await producer.flush()
    return sent


async def bare_rate(bootstrap: str, events: int) -> float:
    """Return events a second of a consumer that only parses JSON."""
    consumer = AIOKafkaConsumer(
        Topic.HEALTH,
        bootstrap_servers=bootstrap,
        group_id=f"bench-{uuid.uuid4().hex[:8]}",
        auto_offset_reset="earliest",
    )
    async with consumer:
        first = await consumer.getone()
        json.loads(first.value)
        began = time.perf_counter()
        for _ in range(events - 1):
            json.loads((await consumer.getone()).value)
        return events / (time.perf_counter() - began)


FAUST = """
import asyncio, json, sys, time, uuid
import faust
from faust.contrib.asgi import faust_app_running
from degradation_engine.stream import SETTINGS
async def main(bootstrap, topic, events):
    app = faust.App(f"bench-{uuid.uuid4().hex[:8]}", broker=f"kafka://{bootstrap}", **SETTINGS)
    done, times = asyncio.Event(), []
    async def parse(stream):
        async for event in stream.events():
            json.loads(event.message.value)
            times.append(time.perf_counter())
            if len(times) == events:
                done.set()
    app.agent(app.topic(topic, key_type=bytes, value_type=bytes))(parse)
    async with faust_app_running(app, stop_timeout=10):
        await done.wait()
    print(events / (times[-1] - times[0]))
asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


async def faust_rate(bootstrap: str, events: int) -> float:
    """Return events a second of a Faust agent that only parses JSON."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        FAUST,
        bootstrap,
        str(Topic.HEALTH),
        str(events),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    said, _ = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    return float(said.split()[-1])


async def engine_rate(bootstrap: str, events: int, directory: Path) -> dict[str, float]:
    """Return events a second of a fresh engine, its memory, and what it stored of state.

    The first reports of a scope each announce something, so they are timed apart as births.
    """
    births = BACKLOG_SCOPES * len(default_policy().dependencies)
    engine = EngineProcess(bootstrap, directory).start()
    try:
        first, first_s = await _when_taken(engine, 1)
        born, born_s = await _when_taken(engine, births)
        last, last_s = await _when_taken(engine, events)
        return {
            "birth_rate": (born - first) / (born_s - first_s),
            "rate": (last - born) / (last_s - born_s),
            "rss_mb": engine.rss_mb(),
            "state_bytes": await engine.metric("degradation_engine_state_bytes_total") / events,
        }
    finally:
        engine.stop()


async def _when_taken(engine: EngineProcess, events: int) -> tuple[float, float]:
    deadline_s = time.monotonic() + PATIENCE_S
    while (taken := await engine.taken()) < events:
        assert time.monotonic() < deadline_s, f"{taken} of {events} events taken"
        await asyncio.sleep(0.02)
    return taken, time.perf_counter()


async def beside_a_bare_consumer(bootstrap: str, directory: Path) -> dict[str, float]:
    events = await fill(bootstrap)
    bare = await bare_rate(bootstrap, events)
    agent = await faust_rate(bootstrap, events)
    engine = await engine_rate(bootstrap, events, directory)
    return {"events": events, "bare_rate": bare, "faust_rate": agent, **engine}


def main() -> int:
    """Measure, print, answer 0 when within bounds."""
    costs = [cost_apart(scopes) for scopes in SIZES]
    print(f"{'scopes':>7} {'RSS MB':>7} {'mean us':>8} {'p99 us':>7} {'tick ms':>8} {'state B':>8}")
    for row in costs:
        print(
            f"{row.scopes:7} {row.rss_mb:7.0f} {row.mean_us:8.0f} {row.p99_us:7.0f} {row.tick_ms:8.1f}"
            f" {row.state_bytes:8}"
        )
    with tempfile.TemporaryDirectory() as place, running_stack(Path(place), parts=("kafka",)) as stack:
        beside = asyncio.run(beside_a_bare_consumer(stack.bootstrap, Path(place)))
    print(
        f"backlog of {beside['events']:.0f}: engine {beside['rate']:.0f}/s (first reports {beside['birth_rate']:.0f}/s),"
        f" Faust alone {beside['faust_rate']:.0f}/s, bare consumer {beside['bare_rate']:.0f}/s;"
        f" {beside['state_bytes']:.0f} bytes of state an event; {beside['rss_mb']:.0f} MB"
    )
    faults = list(_faults(costs[-1], beside))
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    found = {"costs": [asdict(row) for row in costs], "kafka": beside, "missed": faults}
    RESULT.write_text(json.dumps(found, indent=2), encoding="utf-8")
    print("\n".join(faults))
    return bool(faults)


def _faults(most: Cost, beside: dict[str, float]) -> Iterator[str]:
    if most.rss_mb > RSS_BOUND_MB:
        yield f"{most.scopes} scopes take {most.rss_mb:.0f} MB, above {RSS_BOUND_MB:.0f}"
    if most.p99_us > P99_BOUND_US:
        yield f"p99 of judging an event is {most.p99_us:.0f} us, above {P99_BOUND_US:.0f}"
    if beside["rate"] < RATE_SHARE * beside["faust_rate"]:
        yield f"{beside['rate']:.0f} events a second are under {RATE_SHARE:.0%} of what Faust alone does"


if __name__ == "__main__":
    sys.exit(main())
