"""What an engine costs as scopes grow, and how fast it takes events beside a consumer that only parses JSON.

The pure engine runs in a process of its own per size, so that its memory is its own. Then one worker takes a backlog
from a real Kafka, as two others do in the same run that only parse JSON: a bare aiokafka consumer, and a Faust agent
that takes one message at a time. Bounds: 10,000 scopes of 4 dependencies under 300 MB; p99 of judging one event under
1 ms; half of the bare consumer's rate. Rates are compared by the CPU time of an event; those of the clock are printed
beside them. What the engine does by the clock (ticks, heartbeats, states, scrapes) counts in: the slower the machine, the
more of it falls on each event.
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
from typing import Any

import psutil
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from degradation_engine.domain import Engine
from degradation_engine.outbox import STORE_EVERY_S
from resilience_contracts import (
    HealthObserved,
    LevelState,
    Observation,
    Outcome,
    Policy,
    ProbeReport,
    Topic,
    default_policy,
    encode,
)
from tests.fixtures.stack import running_stack
from tests.fixtures.topic_time import let_producers_tell_the_time
from tests.integration.engine_process import EngineProcess

SIZES = (100, 1000, 10_000)
ROUNDS = 3
BACKLOG_SCOPES, BACKLOG_ROUNDS = 250, 40
BACKLOGS = 3
PATIENCE_S, POLL_S = 300.0, 0.5
BIRTH_SHARE = 8
"""The first reports of every scope are surely within so much of the backlog: partitions come in batches of 500."""
RSS_BOUND_MB, P99_BOUND_US = 300.0, 1000.0
RATE_SHARE = 1 / 2
MICRO = 1e6
HEARTBEAT = timedelta(seconds=31)
MONITOR = "/services/health-monitor/bench"
RESULT = Path(".stack/bench/engine_scale.json")


@dataclass(frozen=True)
class Cost:
    """What one size costs; times are CPU time.

    `out_kb_per_s` is what goes to Kafka while nothing changes: each level at its heartbeat, each state at the most
    often that it is stored.
    """

    scopes: int
    rss_mb: float
    mean_us: float
    p99_us: float
    tick_ms: float
    state_bytes: int
    level_bytes: int
    out_kb_per_s: float


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
    rss_mb, state = psutil.Process().memory_info().rss / 1e6, engine.dump("store-00000")
    level = encode(
        next(event for event in engine.tick(now + HEARTBEAT) if isinstance(event, LevelState)), MONITOR
    )
    level_bytes, state_bytes = len(level.value or b""), len(state)
    every_s = policy.timing.heartbeat_s
    return Cost(
        scopes,
        rss_mb,
        statistics.mean(times_us),
        statistics.quantiles(times_us, n=100)[98],
        statistics.median(ticks_ms),
        state_bytes,
        level_bytes,
        scopes * (level_bytes / every_s + state_bytes / STORE_EVERY_S) / 1000,
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


@dataclass(frozen=True)
class Speed:
    """How fast something takes events: of the clock, and of the CPU time that it uses for each."""

    per_s: float
    cpu_us: float


def mean(one: Speed, other: Speed) -> Speed:
    """Return the speed halfway between two."""
    return Speed((one.per_s + other.per_s) / 2, (one.cpu_us + other.cpu_us) / 2)


async def bare_speed(bootstrap: str, events: int) -> Speed:
    """Measure a consumer that only parses JSON."""
    consumer = AIOKafkaConsumer(
        Topic.HEALTH,
        bootstrap_servers=bootstrap,
        group_id=f"bench-{uuid.uuid4().hex[:8]}",
        auto_offset_reset="earliest",
    )
    async with consumer:
        first = await consumer.getone()
        json.loads(first.value)
        began, cpu_began = time.perf_counter(), time.process_time()
        for _ in range(events - 1):
            json.loads((await consumer.getone()).value)
        took_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu_began
        return Speed(events / took_s, cpu_s / events * MICRO)


FAUST = """
import asyncio, json, sys, time, uuid
import faust
from faust.contrib.asgi import faust_app_running
from degradation_engine.stream import SETTINGS
async def main(bootstrap, topic, events):
    settings = SETTINGS | {"stream_buffer_maxsize": 4096, "datadir": sys.argv[4]}
    app = faust.App(f"bench-{uuid.uuid4().hex[:8]}", broker=f"kafka://{bootstrap}", **settings)
    done, times = asyncio.Event(), []
    async def parse(stream):
        async for event in stream.events():
            json.loads(event.message.value)
            times.append((time.perf_counter(), time.process_time()))
            if len(times) == events:
                done.set()
    app.agent(app.topic(topic, key_type=bytes, value_type=bytes))(parse)
    async with faust_app_running(app, stop_timeout=10):
        await done.wait()
    took_s, cpu_s = (last - first for first, last in zip(times[0], times[-1]))
    print(events / took_s, cpu_s / events * 1e6)
asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


async def faust_speed(bootstrap: str, events: int, directory: Path) -> Speed:
    """Measure a Faust agent, used as its documentation says, that only parses JSON."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        FAUST,
        bootstrap,
        str(Topic.HEALTH),
        str(events),
        str(directory),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    said, _ = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    per_s, cpu_us = said.split()[-2:]
    return Speed(float(per_s), float(cpu_us))


@dataclass(frozen=True)
class Taken:
    """A moment of an engine at work."""

    events: float
    clock_s: float
    cpu_s: float

    def since(self, before: Taken) -> Speed:
        """Return how fast it was in between."""
        events = self.events - before.events
        return Speed(events / (self.clock_s - before.clock_s), (self.cpu_s - before.cpu_s) / events * MICRO)


async def engine_speed(bootstrap: str, events: int, directory: Path) -> dict[str, Any]:
    """Measure a fresh engine, its memory, and what it stored of state.

    The first reports of a scope, which each announce something, are left out.
    """
    engine = EngineProcess(bootstrap, directory).start()
    try:
        born = await _when_taken(engine, events // BIRTH_SHARE)
        last = await _when_taken(engine, events)
        return {
            "engine": last.since(born),
            "rss_mb": engine.rss_mb(),
            "state_bytes": await engine.metric("degradation_engine_state_bytes_total") / events,
        }
    finally:
        engine.stop()


async def _when_taken(engine: EngineProcess, events: int) -> Taken:
    deadline_s = time.monotonic() + PATIENCE_S
    while (taken := await engine.taken()) < events:
        assert time.monotonic() < deadline_s, f"{taken} of {events} events taken"
        await asyncio.sleep(POLL_S)
    times = psutil.Process(engine.process.pid).cpu_times()
    return Taken(taken, time.perf_counter(), times.user + times.system)


async def beside_a_bare_consumer(bootstrap: str, directory: Path) -> dict[str, Any]:
    """Measure all three on one backlog, the bare consumer before and after: it moves by half from minute to minute."""
    events = await fill(bootstrap)
    bare = await bare_speed(bootstrap, events)
    agent = await faust_speed(bootstrap, events, directory)
    engine = await engine_speed(bootstrap, events, directory)
    bare = mean(bare, await bare_speed(bootstrap, events))
    return {"events": events, "bare": bare, "faust": agent, **engine}


def in_the_middle() -> dict[str, Any]:
    """Measure on three Kafkas, each new, and return the round whose share is in the middle, with the shares of all."""
    rounds = []
    for _ in range(BACKLOGS):
        with tempfile.TemporaryDirectory() as place, running_stack(Path(place), parts=("kafka",)) as stack:
            let_producers_tell_the_time(stack.bootstrap)
            rounds.append(asyncio.run(beside_a_bare_consumer(stack.bootstrap, Path(place))))
    rounds.sort(key=share)
    return rounds[len(rounds) // 2] | {"shares": [share(one) for one in rounds]}


def share(found: dict[str, Any]) -> float:
    """Return what part of the bare consumer's rate the engine reaches."""
    return float(found["bare"].cpu_us / found["engine"].cpu_us)


def main() -> int:
    """Measure, print, answer 0 when within bounds."""
    costs = [cost_apart(scopes) for scopes in SIZES]
    print(
        f"{'scopes':>7} {'RSS MB':>7} {'mean us':>8} {'p99 us':>7} {'tick ms':>8} {'state B':>8} {'level B':>8}"
        f" {'out kB/s':>9}"
    )
    for row in costs:
        print(
            f"{row.scopes:7} {row.rss_mb:7.0f} {row.mean_us:8.0f} {row.p99_us:7.0f} {row.tick_ms:8.1f}"
            f" {row.state_bytes:8} {row.level_bytes:8} {row.out_kb_per_s:9.0f}"
        )
    beside = in_the_middle()
    print(
        f"\n{'backlog of ' + str(beside['events']):<22} {'us of CPU':>9} {'per s of CPU':>12} {'per s now':>10}"
    )
    for name in ("bare", "faust", "engine"):
        speed = beside[name]
        print(f"{name:<22} {speed.cpu_us:9.1f} {MICRO / speed.cpu_us:12.0f} {speed.per_s:10.0f}")
    reached = share(beside)
    print(
        f"the engine does {reached:.0%} of what the bare consumer does"
        f" (in all rounds {', '.join(f'{one:.0%}' for one in beside['shares'])}; bound: {RATE_SHARE:.0%});"
        f" {beside['state_bytes']:.0f} bytes of state an event; {beside['rss_mb']:.0f} MB"
    )
    faults = list(_faults(costs, reached))
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    kafka = {key: asdict(value) if isinstance(value, Speed) else value for key, value in beside.items()}
    found = {"costs": [asdict(row) for row in costs], "kafka": kafka, "missed": faults}
    RESULT.write_text(json.dumps(found, indent=2), encoding="utf-8")
    print("\n".join(faults))
    return bool(faults)


def _faults(costs: list[Cost], reached: float) -> Iterator[str]:
    for row in costs:
        if row.rss_mb > RSS_BOUND_MB:
            yield f"{row.scopes} scopes take {row.rss_mb:.0f} MB, above {RSS_BOUND_MB:.0f}"
        if row.p99_us > P99_BOUND_US:
            yield f"p99 of judging an event of {row.scopes} scopes is {row.p99_us:.0f} us, above {P99_BOUND_US:.0f}"
    if reached < RATE_SHARE:
        yield f"{reached:.0%} of what a bare consumer takes is under {RATE_SHARE:.0%}"


if __name__ == "__main__":
    sys.exit(main())
