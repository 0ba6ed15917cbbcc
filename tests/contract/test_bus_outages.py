"""What a bus promises while its broker is away, comes back, or comes back empty."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Protocol

import pytest

from resilience_cli.stack import Kafka, Place, Running, await_ready, destroy, free_ports, start
from resilience_runtime import Message, PublishError, PublishQueue
from tests.contract.buses import Bus, InMemory, OnKafka
from tests.runtime.waiting import running, until

READY_S = 60
RECOVERY_S = 30


class Breakable(Protocol):
    bus: Bus

    async def stop(self) -> None: ...

    async def start(self) -> None: ...

    async def wipe(self, topic: str) -> None:
        """Lose everything while stopped."""


class BreakableMemory:
    def __init__(self) -> None:
        self._memory = InMemory()
        self.bus: Bus = self._memory

    async def stop(self) -> None:
        self._memory.bus.up = False

    async def start(self) -> None:
        self._memory.bus.up = True

    async def wipe(self, topic: str) -> None:
        self._memory.bus.reset(topic)


class OwnBroker:
    """A broker of its own, so that killing it disturbs no other test."""

    def __init__(self, place: Place) -> None:
        self._place = place
        port, controller_port = free_ports(2)
        self.kafka = Kafka(place, port, controller_port)
        self.data = place.data(self.kafka.name)
        self._running: Running | None = None

    def start(self) -> None:
        if self._running is None:
            self._running = start(self.kafka, self._place, "the broker's port")
            await_ready(self._running, READY_S)

    def kill(self) -> None:
        if self._running is not None:
            destroy(self._running)
            self._running = None


class BreakableKafka:
    def __init__(self, broker: OwnBroker, bus: OnKafka) -> None:
        self._broker = broker
        self._kafka = bus
        self.bus: Bus = bus

    async def stop(self) -> None:
        await asyncio.to_thread(self._broker.kill)

    async def start(self) -> None:
        await asyncio.to_thread(self._broker.start)

    async def wipe(self, topic: str) -> None:
        shutil.rmtree(self._broker.data)
        await self.start()
        await self._kafka.new_topic(topic)


@pytest.fixture(scope="module")
def broker(services_place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnBroker]:
    broker = OwnBroker(Place(tmp_path_factory.mktemp("broker")))
    try:
        yield broker
    finally:
        broker.kill()


@pytest.fixture(params=["memory", "kafka"])
async def breakable(request: pytest.FixtureRequest) -> AsyncIterator[Breakable]:
    if request.param == "memory":
        yield BreakableMemory()
        return
    broker: OwnBroker = request.getfixturevalue("broker")
    await asyncio.to_thread(broker.start)
    async with AsyncExitStack() as stack:
        yield BreakableKafka(broker, await OnKafka.connect(broker.kafka.bootstrap, stack))


async def test_publishing_gives_up_within_its_deadline_and_recovers_by_itself(breakable: Breakable) -> None:
    bus = breakable.bus
    topic = await bus.new_topic()
    await bus.publisher.publish(topic, b"key", b"before")
    await breakable.stop()

    began_s = time.monotonic()
    with pytest.raises(PublishError):
        await bus.publisher.publish(topic, b"key", b"lost", deadline_s=1)
    took_s = time.monotonic() - began_s
    await breakable.start()

    assert took_s < 2
    await bus.publisher.publish(topic, b"key", b"after", deadline_s=RECOVERY_S)


async def test_a_queue_keeps_order_through_an_outage(breakable: Breakable) -> None:
    bus = breakable.bus
    topic = await bus.new_topic()
    queue = PublishQueue(bus.publisher, deadline_s=1)
    seen: list[bytes | None] = []

    async with (
        running(queue.run()),
        running(bus.reader((topic,), lambda message: seen.append(message.value)).run()),
    ):
        queue.offer(topic, b"key", b"0")
        await until(lambda: seen == [b"0"])
        await breakable.stop()
        for number in range(1, 50):
            queue.offer(topic, b"key", str(number).encode())
        await asyncio.sleep(0)
        await breakable.start()
        await until(lambda: len(set(seen)) == 50, RECOVERY_S)

    first_seen = list(dict.fromkeys(seen))
    assert first_seen == [str(number).encode() for number in range(50)]
    assert queue.dropped == 0


async def test_a_reader_goes_on_after_an_outage_without_reading_again(breakable: Breakable) -> None:
    bus = breakable.bus
    topic = await bus.new_topic()
    seen: list[bytes | None] = []
    rebuilds: list[int] = []
    reader = bus.reader((topic,), lambda m: seen.append(m.value), lambda: rebuilds.append(1))

    async with running(reader.run()):
        await bus.publisher.publish(topic, b"key", b"1")
        await until(lambda: seen == [b"1"])
        await breakable.stop()
        await breakable.start()
        await bus.publisher.publish(topic, b"key", b"2", deadline_s=RECOVERY_S)
        await until(lambda: b"2" in seen, RECOVERY_S)

    assert seen == [b"1", b"2"]
    assert not rebuilds
    assert reader.caught_up


async def test_a_reader_forgets_and_reads_again_after_the_log_was_lost(breakable: Breakable) -> None:
    bus = breakable.bus
    topic = await bus.new_topic()
    state: dict[bytes | None, bytes | None] = {}

    def apply(message: Message) -> None:
        state[message.key] = message.value

    reader = bus.reader((topic,), apply, state.clear)
    async with running(reader.run()):
        for number in range(5):
            await bus.publisher.publish(topic, b"old", str(number).encode())
        await until(lambda: state == {b"old": b"4"})
        await breakable.stop()
        await breakable.wipe(topic)
        await breakable.start()
        await bus.publisher.publish(topic, b"new", b"1", deadline_s=RECOVERY_S)
        await until(lambda: state == {b"new": b"1"}, RECOVERY_S)
        await asyncio.wait_for(reader.wait_caught_up(), RECOVERY_S)


async def test_a_reader_waits_for_its_broker(breakable: Breakable) -> None:
    bus = breakable.bus
    topic = await bus.new_topic()
    await bus.publisher.publish(topic, b"key", b"1")
    await breakable.stop()
    seen: list[Message] = []
    reader = bus.reader((topic,), seen.append)

    async with running(reader.run()):
        await asyncio.sleep(0.5 if isinstance(breakable, BreakableKafka) else 0)
        caught_up_early = reader.caught_up
        await breakable.start()
        await asyncio.wait_for(reader.wait_caught_up(), RECOVERY_S)

    assert not caught_up_early
    assert len(seen) == 1
