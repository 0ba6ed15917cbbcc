from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, cast

from faust.types import TP

from degradation_engine import metrics as rows
from degradation_engine.adapters.shelf import Shelf
from degradation_engine.batch import Batch
from degradation_engine.ownership import Ownership
from degradation_engine.stream import STORING, Stream
from resilience_contracts import Outcome, Topic
from resilience_runtime import KafkaAccess
from resilience_runtime.clock import ManualClock
from resilience_runtime.memory import MemoryBus
from resilience_runtime.metrics import build_registry
from tests.degradation_engine.records import stored
from tests.degradation_engine.shop import POLICY, START, report
from tests.degradation_engine.test_partition import SOURCE, message

HEALTH = str(Topic.HEALTH)


class Consumer:
    """Kafka's side of a member of the group: one generation, and the ends of its partitions."""

    def __init__(self, generation: int = 1) -> None:
        self.generation = generation
        self.acknowledged: list[int] = []
        self.ends = {TP(HEALTH, 0): 0}

    def current(self, batch: Batch) -> bool:
        return batch.generation_id == self.generation

    def took(self, batch: Batch) -> None:
        self.acknowledged.append(batch.offset)

    async def highwaters(self, *_: TP) -> dict[TP, int]:
        return self.ends


def stream_of(ownership: Ownership, clock: ManualClock) -> Stream:
    return Stream(KafkaAccess("kafka:9092"), None, ownership, clock=clock, random=Random(1))


def owner(bus: MemoryBus, clock: ManualClock) -> Ownership:
    metrics = build_registry(rows.TABLE)
    return Ownership(POLICY, lambda _now: {}, bus, SOURCE, clock=clock, random=Random(1), metrics=metrics)


def batch(at_s: float = 0.0, generation: int = 1) -> Batch:
    record = message(report("redis", [Outcome.OK], at_s), 5)
    return Batch(TP(HEALTH, 0), [cast("Any", stored(record.key, record.value, record.headers))], generation)


async def taken(stream: Stream, consumer: Consumer, *batches: Batch) -> list[int]:
    turn = asyncio.Lock()
    await asyncio.gather(*(stream._take(some, cast("Any", consumer), turn) for some in batches))
    return consumer.acknowledged


async def test_a_batch_that_waited_through_a_rebalance_is_left_to_the_new_owner() -> None:
    clock = ManualClock(START, jump=True)
    ownership = owner(MemoryBus(clock=clock), clock)
    stream = stream_of(ownership, clock)

    assert await taken(stream, Consumer(), batch()) == []
    ownership.replace({0}, Shelf(1))
    assert await taken(stream, Consumer(generation=2), batch()) == []
    assert await taken(stream, Consumer(), batch()) == [0]


async def test_each_batch_tells_when_its_newest_event_was_stored() -> None:
    clock, heard = ManualClock(START, jump=True), list[datetime]()
    ownership = owner(MemoryBus(clock=clock), clock)
    ownership.replace({0}, Shelf(1))
    stream = Stream(
        KafkaAccess("kafka:9092"), None, ownership, clock=clock, random=Random(1), heard=heard.append
    )

    await taken(stream, Consumer(), batch(at_s=3.0))

    assert heard == [datetime.fromtimestamp(batch(at_s=3.0).records[-1].timestamp / 1000, UTC)]


class Ticked(Ownership):
    """Notes what it is told of time, and of what is taken."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.told: list[tuple[datetime, bool]] = []

    async def tick(
        self,
        now: datetime,
        caught_up: Callable[[int], bool],
        over_s: float = 0.0,  # noqa: ARG002
    ) -> None:
        self.told.append((now, caught_up(0)))


async def test_the_wall_clock_stays_behind_what_may_be_stored_and_not_yet_counted() -> None:
    clock = ManualClock(START, jump=True)
    ownership = Ticked(
        POLICY,
        lambda _now: {},
        MemoryBus(clock=clock),
        SOURCE,
        clock=clock,
        random=Random(1),
        metrics=build_registry(rows.TABLE),
    )
    ownership.replace({0}, Shelf(1))
    stream, consumer = stream_of(ownership, clock), Consumer()
    stream._consumer, stream._rebalancing = cast("Any", consumer), lambda: False

    await stream._tick()
    consumer.ends = {TP(HEALTH, 0): 1}
    await stream._tick()
    await taken(stream, consumer, batch())
    await stream._tick()

    assert timedelta(seconds=0.2) <= STORING
    assert ownership.told == [
        (START - STORING, True),
        (START - STORING, False),
        (START - STORING, True),
    ]


async def test_it_is_ready_only_once_partitions_were_given_out() -> None:
    clock = ManualClock(START, jump=True)
    stream = stream_of(owner(MemoryBus(clock=clock), clock), clock)
    stream._started, stream._rebalancing = True, lambda: False

    assert not stream.ready
    stream._consumer = cast("Any", Consumer())
    assert stream.ready
