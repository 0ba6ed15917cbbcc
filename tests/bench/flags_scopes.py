"""What following the levels of 100, 1,000 and 10,000 scopes costs one flag-service: the topic, its start, its memory.

The levels lie in a real Kafka as the engine writes them. The floor of a start is a bare aiokafka consumer that reads the
same topic to its end. Bound: 10,000 scopes within 400 MB, read within 30 s.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from resilience_contracts import FeatureState, Level, Topic, encode
from resilience_runtime import KafkaPublisher
from tests.bench.table import row_of
from tests.contracts.states import level_state
from tests.fixtures.stack import running_stack
from tests.flag_service.processes import World

SIZES = (100, 1_000, 10_000)
RSS_BOUND_MB, READY_S_BOUND, READ_S = 400.0, 30.0, 60.0
MB = 1024 * 1024
ENGINE = "/services/degradation-engine/bench"
RESULT = Path(".stack/bench/flags_scopes.json")


@dataclass(frozen=True)
class Cost:
    """What so many scopes cost; `level_bytes` is the value of one."""

    scopes: int
    level_bytes: int
    bare_read_s: float
    ready_s: float
    rss_mb: float


async def measure(bootstrap: str, directory: Path, scopes: int) -> Cost:
    """Store the levels of so many scopes and let a flag-service follow them."""
    level_bytes = await _store(bootstrap, scopes)
    bare_read_s = await _read(bootstrap, scopes)
    async with AsyncExitStack() as stack, KafkaPublisher(bootstrap) as publisher:
        world = World(bootstrap, directory, publisher, stack)
        await world.tell(Level.OPTIMAL)
        began_s = time.monotonic()
        flags = await world.flags()
        await flags.until_state(FeatureState.ENABLED)
        ready_s = time.monotonic() - began_s
        rss_mb = psutil.Process(flags.process.pid).memory_info().rss / MB
        known = (await flags.client.get(f"/v1/levels/store-{scopes - 1:05}")).json()
        assert known["level"] == Level.OPTIMAL.name, known
    return Cost(scopes, level_bytes, bare_read_s, ready_s, rss_mb)


async def _store(bootstrap: str, scopes: int) -> int:
    size = 0
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        for number in range(scopes):
            state = level_state(Level.OPTIMAL, (1, 1), at=datetime.now(UTC), scope=f"store-{number:05}")
            record = encode(state, ENGINE)
            size = len(record.value or b"")
            await producer.send(record.topic, record.value, record.key, headers=list(record.headers))
        await producer.flush()
    return size


async def _read(bootstrap: str, scopes: int) -> float:
    consumer = AIOKafkaConsumer(str(Topic.LEVELS), bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    began_s = time.monotonic()
    async with consumer, asyncio.timeout(READ_S):
        for _ in range(scopes):
            json.loads((await consumer.getone()).value)
    return time.monotonic() - began_s


def main() -> int:
    """Measure each size in a Kafka of its own; answer 1 when the largest is beyond its bounds."""
    costs = []
    print("| " + " | ".join(Cost.__annotations__) + " |\n" + "|---" * len(Cost.__annotations__) + "|")
    for scopes in SIZES:
        with (
            tempfile.TemporaryDirectory() as place,
            running_stack(Path(place), parts=("kafka",)) as stack,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            costs.append(runner.run(measure(stack.bootstrap, Path(place), scopes)))
        print(row_of(asdict(costs[-1]).values()), flush=True)
    print(f"load average {os.getloadavg()[0]:.1f}")
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps([asdict(cost) for cost in costs], indent=1), encoding="utf-8")
    return int(costs[-1].rss_mb > RSS_BOUND_MB or costs[-1].ready_s > READY_S_BOUND)


if __name__ == "__main__":
    sys.exit(main())
