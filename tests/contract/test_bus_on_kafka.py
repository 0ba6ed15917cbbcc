"""What only a real Kafka can do to a reader, and topics as they are declared."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime

import aiokafka.producer.message_accumulator as accumulator
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from aiokafka.structs import OffsetAndTimestamp

from resilience_runtime import (
    KafkaPublisher,
    ManualClock,
    Message,
    PublishError,
    PublishRejectedError,
    ReplicaReader,
)
from resilience_runtime.kafka import TopicSpec, apply_topics, check_topics
from resilience_runtime.kafka.admin import TopicsError
from tests.fixtures.topics import delete_topic
from tests.runtime.waiting import running, until


class NotUtf8(str):
    __slots__ = ()

    def encode(self, *_: object, **__: object) -> bytes:
        return b"\xff\xfe"


@pytest.fixture
def topic() -> str:
    return f"bus.{uuid.uuid4().hex}"


async def test_a_reader_waits_for_a_topic_that_is_not_there_yet(kafka_bootstrap: str, topic: str) -> None:
    seen: list[bytes | None] = []
    reader = ReplicaReader(kafka_bootstrap, (topic,), lambda m: seen.append(m.value))

    async with running(reader.run()), KafkaPublisher(kafka_bootstrap) as publisher:
        began_s = time.monotonic()
        with pytest.raises(PublishError):
            await publisher.publish(topic, b"key", b"too early", deadline_s=0.5)
        assert time.monotonic() - began_s < 1.5
        assert not reader.caught_up
        await apply_topics(kafka_bootstrap, {topic: TopicSpec(1)})
        await asyncio.wait_for(reader.wait_caught_up(), 30)
        await publisher.publish(topic, b"key", b"now", deadline_s=30)
        await until(lambda: b"now" in seen, 30)


async def test_what_the_broker_refuses_does_not_fail_the_record_after_it(
    kafka_bootstrap: str, topic: str
) -> None:
    await apply_topics(kafka_bootstrap, {topic: TopicSpec(1)})
    async with KafkaPublisher(kafka_bootstrap) as publisher:
        await publisher.publish(topic, b"key", b"1")

        with pytest.raises(PublishRejectedError):
            await publisher.publish(topic, b"key", b"x" * 2_000_000)

        await publisher.publish(topic, b"key", b"2", deadline_s=10)


async def test_a_publisher_is_rebuilt_after_a_fatal_error(kafka_bootstrap: str, topic: str) -> None:
    await apply_topics(kafka_bootstrap, {topic: TopicSpec(1)})
    async with KafkaPublisher(kafka_bootstrap) as publisher:
        await publisher.publish(topic, b"key", b"1")
        producer = publisher._producer
        assert producer is not None
        # The broker refuses a gap in the sequence, after which this producer can never send again.
        producer._txn_manager.increment_sequence_number(TopicPartition(topic, 0), 5)

        with pytest.raises(PublishError):
            await publisher.publish(topic, b"key", b"refused", deadline_s=5)
        await publisher.publish(topic, b"key", b"2", deadline_s=10)

        assert publisher.rebuilt == 1


async def test_a_record_that_cannot_be_decoded_is_passed_over(
    kafka_bootstrap: str, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await apply_topics(kafka_bootstrap, {topic: TopicSpec(1)})
    seen: list[bytes | None] = []
    reader = ReplicaReader(kafka_bootstrap, (topic,), lambda m: seen.append(m.value))

    async with KafkaPublisher(kafka_bootstrap) as publisher:
        await publisher.publish(topic, b"key", b"before")
        await _produce_undecodable(kafka_bootstrap, topic, monkeypatch)
        await publisher.publish(topic, b"key", b"after")
        async with running(reader.run()):
            await until(lambda: b"after" in seen, 20)
            await asyncio.wait_for(reader.wait_caught_up(), 10)

    assert seen == [b"before", b"first of the batch", b"after"]
    assert reader.unreadable == 1


async def _produce_undecodable(bootstrap: str, topic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Only the Python builder of batches lets bytes through that are not UTF-8; other clients need no such trick.
    with monkeypatch.context() as patch:
        patch.setattr(accumulator, "DefaultRecordBatchBuilder", _DefaultRecordBatchBuilderPy)
        async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
            batch = producer.create_batch()
            batch.append(key=b"key", value=b"first of the batch", timestamp=None, headers=[("name", b"1")])
            batch.append(key=b"key", value=b"bad", timestamp=None, headers=[(NotUtf8("name"), b"1")])
            await (await producer.send_batch(batch, topic, partition=0))


async def test_a_reader_has_caught_up_where_the_log_ends_without_a_record(
    kafka_bootstrap: str, topic: str
) -> None:
    await apply_topics(kafka_bootstrap, {topic: TopicSpec(1)})
    async with (
        AIOKafkaProducer(bootstrap_servers=kafka_bootstrap, transactional_id=topic) as producer,
        producer.transaction(),
    ):
        await producer.send_and_wait(topic, b"1", b"key")
    seen: list[bytes | None] = []
    reader = ReplicaReader(kafka_bootstrap, (topic,), lambda m: seen.append(m.value))

    async with running(reader.run()):
        await asyncio.wait_for(reader.wait_caught_up(), 10)

    assert seen == [b"1"]


async def test_a_reader_of_what_is_recent_leaves_out_what_is_older(kafka_bootstrap: str, topic: str) -> None:
    await apply_topics(kafka_bootstrap, {topic: TopicSpec(1)})
    old_ms = int((time.time() - 3600) * 1000)
    async with AIOKafkaProducer(bootstrap_servers=kafka_bootstrap) as producer:
        await producer.send_and_wait(topic, b"old", b"key", timestamp_ms=old_ms)
        await producer.send_and_wait(topic, b"recent", b"key")
    seen: list[bytes | None] = []
    begun: list[Mapping[str, int]] = []

    def taken(message: Message) -> None:
        assert begun
        seen.append(message.value)

    reader = ReplicaReader(kafka_bootstrap, (topic,), taken, since_s=900, on_begin=begun.append)
    nothing_yet = ReplicaReader(kafka_bootstrap, (topic,), lambda m: seen.append(m.value), since_s=0)

    async with running(reader.run()), running(nothing_yet.run()):
        await asyncio.wait_for(reader.wait_caught_up(), 10)
        await asyncio.wait_for(nothing_yet.wait_caught_up(), 10)
        assert seen == [b"recent"]
        assert begun == [{f"{topic}/0": 1}]
        async with KafkaPublisher(kafka_bootstrap) as publisher:
            await publisher.publish(topic, b"key", b"next")
        await until(lambda: seen == [b"recent", b"next", b"next"])


async def test_a_reader_of_what_is_recent_goes_on_where_it_began_though_nothing_came_before_it_was_cut_off(
    kafka_bootstrap: str, topic: str
) -> None:
    await apply_topics(kafka_bootstrap, {topic: TopicSpec(1)})
    seen: list[bytes | None] = []
    clock = ManualClock(datetime.now(UTC))
    reader = ReplicaReader(kafka_bootstrap, (topic,), lambda m: seen.append(m.value), since_s=60, clock=clock)
    consumer = reader._build()
    await consumer.start()
    try:
        await reader._seek(consumer)
    finally:
        await consumer.stop()
    async with KafkaPublisher(kafka_bootstrap) as publisher:
        await publisher.publish(topic, b"key", b"meanwhile")
    await clock.advance(3600)  # what was written is not recent any more

    async with running(reader.run()):
        await until(lambda: seen == [b"meanwhile"])


async def test_a_reader_of_what_is_recent_misses_nothing_that_is_written_while_it_begins(
    kafka_bootstrap: str, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await apply_topics(kafka_bootstrap, {topic: TopicSpec(1)})
    asked = AIOKafkaConsumer.offsets_for_times

    async def written_meanwhile(
        consumer: AIOKafkaConsumer, timestamps: dict[TopicPartition, int]
    ) -> dict[TopicPartition, OffsetAndTimestamp | None]:
        found: dict[TopicPartition, OffsetAndTimestamp | None] = await asked(consumer, timestamps)
        async with KafkaPublisher(kafka_bootstrap) as publisher:
            await publisher.publish(topic, b"key", b"meanwhile")
        return found

    monkeypatch.setattr(AIOKafkaConsumer, "offsets_for_times", written_meanwhile)
    seen: list[bytes | None] = []
    reader = ReplicaReader(kafka_bootstrap, (topic,), lambda m: seen.append(m.value), since_s=900)

    async with running(reader.run()):
        await until(lambda: seen == [b"meanwhile"])


async def test_a_reader_finds_partitions_that_are_added_without_reading_again(
    kafka_bootstrap: str, topic: str
) -> None:
    await apply_topics(kafka_bootstrap, {topic: TopicSpec(1)})
    seen: list[bytes | None] = []
    reader = ReplicaReader(kafka_bootstrap, (topic,), lambda m: seen.append(m.value))

    async with running(reader.run()):
        async with KafkaPublisher(kafka_bootstrap) as publisher:
            await publisher.publish(topic, b"key", b"old")
            await until(lambda: seen == [b"old"])
        await apply_topics(kafka_bootstrap, {topic: TopicSpec(8)})
        async with KafkaPublisher(kafka_bootstrap) as publisher:
            for number in range(16):
                await publisher.publish(topic, str(number).encode(), str(number).encode(), deadline_s=20)
        await until(lambda: len(set(seen)) == 17, 30)

    assert len(seen) == 17
    assert reader.rebuilds == 0


async def test_topics_are_created_corrected_and_checked(kafka_bootstrap: str, topic: str) -> None:
    first = {topic: TopicSpec(1, config={"retention.ms": "1000000"})}
    wanted = {topic: TopicSpec(2, config={"retention.ms": "2000000", "cleanup.policy": "compact"})}

    assert [drift.aspect for drift in await check_topics(kafka_bootstrap, first)] == ["topic"]
    assert [drift.aspect for drift in await apply_topics(kafka_bootstrap, first)] == ["topic"]
    assert await check_topics(kafka_bootstrap, first) == []
    drift = await apply_topics(kafka_bootstrap, wanted)
    assert {(d.aspect, d.actual) for d in drift} == {
        ("partitions", "1"),
        ("retention.ms", "1000000"),
        ("cleanup.policy", "delete"),
    }
    assert await apply_topics(kafka_bootstrap, wanted) == []
    with pytest.raises(TopicsError, match="cannot be taken away"):
        await apply_topics(kafka_bootstrap, first)


async def test_topics_of_a_broker_that_is_away_are_one_error() -> None:
    with pytest.raises(TopicsError, match=r"127\.0\.0\.1:1"):
        await check_topics("127.0.0.1:1", {"any": TopicSpec(1)})


async def test_a_log_that_began_anew_and_is_as_long_again_by_now_is_read_from_its_start(
    kafka_bootstrap: str, topic: str
) -> None:
    spec = {topic: TopicSpec(1)}
    await apply_topics(kafka_bootstrap, spec)
    seen: list[bytes | None] = []
    reader = ReplicaReader(kafka_bootstrap, (topic,), lambda m: seen.append(m.value), seen.clear, check_s=3)

    async with running(reader.run()), KafkaPublisher(kafka_bootstrap) as publisher:
        for number in range(5):
            await publisher.publish(topic, b"key", b"old %d" % number)
        await until(lambda: len(reader._marks._marks) == 1, 30)
        await delete_topic(kafka_bootstrap, topic)
        await apply_topics(kafka_bootstrap, spec)
        for number in range(9):
            await publisher.publish(topic, b"key", b"new %d" % number, deadline_s=30)
        await until(lambda: seen == [b"new %d" % number for number in range(9)], 60)


async def checked_twice(reader: ReplicaReader) -> None:
    """Wait until the reader has looked at the log, and once more."""
    for _ in range(2):
        marks = reader._marks._marks
        await until(lambda: reader._marks._marks is not marks, 30)  # noqa: B023 - it is awaited in the loop


async def test_a_log_that_goes_on_is_not_read_again_for_clocks_that_differ(
    kafka_bootstrap: str, topic: str
) -> None:
    await apply_topics(kafka_bootstrap, {topic: TopicSpec(1)})
    reader = ReplicaReader(kafka_bootstrap, (topic,), lambda _: None, check_s=0.2)
    now_ms = int(time.time() * 1000)

    async with running(reader.run()), AIOKafkaProducer(bootstrap_servers=kafka_bootstrap) as producer:
        for ahead_ms in (0, 600_000, -600_000, 1, 900_000, 2):
            await producer.send_and_wait(topic, b"x", timestamp_ms=now_ms + ahead_ms)
            await checked_twice(reader)

    assert reader.rebuilds == 0
