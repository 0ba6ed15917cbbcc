"""A command that cannot be read is not passed over before its dead letter is stored."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import ConsumerRecord, TopicPartition

from inventory_api.adapters.applier import Applier, HeldBy, Source
from inventory_api.adapters.memory import MemoryStore
from inventory_api.http.move_rendering import applied_answer
from resilience_contracts import Topic
from resilience_runtime import BadMessage, DeadLetters, KafkaAccess, ManualClock, MemoryBus, Message
from resilience_runtime.kafka.dead_letters import BURST

PLACE = TopicPartition(str(Topic.COMMANDS), 0)
RECORD = ConsumerRecord(
    PLACE.topic, PLACE.partition, 7, 1_700_000_000_000, 0, b"SKU", b"newer", None, 3, 5, ()
)
DEAD = f"{Topic.COMMANDS}.dlq"


class Bench:
    def __init__(self) -> None:
        self.clock = ManualClock(jump=True)
        self.bus, self.store = MemoryBus(clock=self.clock), MemoryStore(self.clock)
        self.letters = DeadLetters(self.bus, self.clock)
        source = Source(KafkaAccess("127.0.0.1:9"), "postgresql://nobody@127.0.0.1:9/none", "tests", 1_000.0)
        self.applier = Applier(
            source,
            self.store,
            render=applied_answer,
            letters=self.letters,
            clock=self.clock,
            changed=lambda _: None,
        )

    async def offset(self) -> int:
        async with self.store.transaction() as transaction:
            return await transaction.commands.lock_offset(PLACE.partition)


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_while_kafka_takes_no_letter_the_command_is_kept(bench: Bench) -> None:
    bench.bus.up = False
    taking = asyncio.create_task(bench.applier._take(PLACE, RECORD))
    async with asyncio.timeout(10):
        while bench.letters.lost < 3:  # noqa: ASYNC110 - a counter wakes nobody
            await asyncio.sleep(0)
    assert not taking.done()
    assert (bench.applier.held_by, await bench.offset()) == (HeldBy.KAFKA, 0)

    bench.bus.up = True
    await asyncio.wait_for(taking, 10)

    assert [record.value for record in bench.bus.records(DEAD)] == [b"newer"]
    assert (bench.applier.held_by, await bench.offset(), bench.applier.unreadable) == (None, 8, 1)


async def test_a_cap_on_letters_delays_a_command_and_loses_none(bench: Bench) -> None:
    for offset in range(BURST):
        flood = Message(PLACE.topic, None, b"", (), 1, offset, 0)
        assert await bench.letters.send(flood, BadMessage(), "apply")
    seen: list[HeldBy | None] = []
    sleep = bench.clock.sleep

    async def sleeping(seconds: float) -> None:
        seen.append(bench.applier.held_by)
        await sleep(seconds)

    bench.clock.sleep = sleeping  # type: ignore[method-assign]

    await asyncio.wait_for(bench.applier._take(PLACE, RECORD), 10)

    assert set(seen) == {HeldBy.CAP}
    assert bench.bus.records(DEAD)[-1].value == b"newer"
    assert await bench.offset() == 8
