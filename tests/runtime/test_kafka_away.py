"""A broker that was never there. Outages of one that was are in tests/contract."""

from __future__ import annotations

import asyncio
import time

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError

from resilience_runtime import KafkaPublisher, PublishError, PublishQueue, ReplicaReader
from tests.runtime.waiting import running

NOWHERE = "127.0.0.1:1"


async def test_publishing_fails_within_its_deadline_and_closing_takes_no_time() -> None:
    publisher = KafkaPublisher(NOWHERE)
    began_s = time.monotonic()

    with pytest.raises(PublishError, match="not confirmed within"):
        await publisher.publish("topic", b"key", b"value", deadline_s=0.3)
    failed_s = time.monotonic() - began_s
    await publisher.close()

    assert 0.25 < failed_s < 1
    assert time.monotonic() - began_s < 2


async def test_many_callers_share_one_attempt_to_connect() -> None:
    async with KafkaPublisher(NOWHERE) as publisher:
        calls = [publisher.publish("topic", b"key", b"value", deadline_s=0.2) for _ in range(50)]
        failures = await asyncio.gather(*calls, return_exceptions=True)
        connecting = [task for task in asyncio.all_tasks() if task.get_name() == "kafka publisher connects"]

    assert all(isinstance(failure, PublishError) for failure in failures)
    assert len(connecting) == 1


async def test_a_cancellation_that_is_lost_does_not_keep_a_publisher_from_closing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lost: list[object] = []

    async def start(producer: AIOKafkaProducer) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if lost:
                raise
            lost.append(producer)
            raise KafkaConnectionError from None

    monkeypatch.setattr(AIOKafkaProducer, "start", start)
    publisher = KafkaPublisher(NOWHERE)
    with pytest.raises(PublishError):
        await publisher.publish("topic", b"key", b"value", deadline_s=0.05)

    await asyncio.wait_for(publisher.close(), 10)

    assert len(lost) == 1


async def test_a_queue_takes_offers_without_a_pause() -> None:
    async with KafkaPublisher(NOWHERE) as publisher:
        queue = PublishQueue(publisher, 10, deadline_s=0.1)
        async with running(queue.run()):
            await asyncio.sleep(0)
            began_s = time.monotonic()
            for number in range(10_000):
                queue.offer("topic", b"key", str(number).encode())
            took_s = time.monotonic() - began_s

    assert took_s < 1
    assert queue.dropped >= 9_989


async def test_a_reader_waits_and_ends_when_it_is_told() -> None:
    reader = ReplicaReader(NOWHERE, ("topic",), lambda _: None)

    async with running(reader.run()):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.wait_caught_up(), 0.5)

    assert not reader.caught_up
    assert reader.last_record_age_s() is None
