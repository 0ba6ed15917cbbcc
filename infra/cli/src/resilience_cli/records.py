"""Records of topics from a time on up to now, as they are; read without a consumer group."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from datetime import datetime

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from resilience_runtime.bus import Message
from resilience_runtime.kafka.access import KafkaAccess
from resilience_runtime.kafka.record import message_of

from .apart import run_apart
from .errors import KAFKA_AWAY, StackError

FETCH_MS = 500
ANSWER_S = 20.0


def read_records(
    kafka: KafkaAccess | str, topics: Collection[str], since: datetime | None = None
) -> list[Message]:
    """Return what is in topics, oldest first; a topic that does not exist has nothing.

    Args:
        kafka: how to get in.
        topics: their names.
        since: leaves out what is older; by default nothing.

    Raises:
        StackError: Kafka does not answer.
    """
    access = KafkaAccess.of(kafka)
    try:
        return run_apart(_read(access, topics, since))
    except (KafkaError, OSError, TimeoutError) as error:
        raise StackError(
            f"Kafka at {access.bootstrap} does not answer, or does not let us in", KAFKA_AWAY
        ) from error


async def _read(kafka: KafkaAccess, topics: Collection[str], since: datetime | None) -> list[Message]:
    partitions = await _partitions(kafka, topics)
    if not partitions:
        return []
    consumer = AIOKafkaConsumer(**kafka.options(), auto_offset_reset="earliest", enable_auto_commit=False)
    try:
        async with asyncio.timeout(ANSWER_S):
            await consumer.start()
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            await _rewind(consumer, ends, since)
        found: list[Message] = []
        while any([await consumer.position(partition) < end for partition, end in ends.items()]):  # awaits
            async with asyncio.timeout(ANSWER_S):
                for records in (await consumer.getmany(timeout_ms=FETCH_MS)).values():
                    found += [message_of(record) for record in records]
    finally:
        await consumer.stop()
    before = {(each.topic, each.partition): end for each, end in ends.items()}
    inside = [message for message in found if message.offset < before[message.topic, message.partition]]
    return sorted(inside, key=lambda message: message.timestamp_ms)


async def _partitions(kafka: KafkaAccess, topics: Collection[str]) -> list[TopicPartition]:
    # Not by `subscribe`: a consumer without a group assigns itself anew whenever it likes, and forgets its place.
    admin = AIOKafkaAdminClient(**kafka.options())
    try:
        async with asyncio.timeout(ANSWER_S):
            await admin.start()
            described = await admin.describe_topics([str(topic) for topic in topics])
    finally:
        await admin.close()
    return [
        TopicPartition(topic["topic"], partition["partition"])
        for topic in described
        for partition in topic["partitions"]
    ]


async def _rewind(
    consumer: AIOKafkaConsumer, ends: dict[TopicPartition, int], since: datetime | None
) -> None:
    # By offsets: `seek_to_beginning` loses against the first reset of a partition that was just assigned.
    starts = await consumer.beginning_offsets(list(ends))
    if since is not None:
        since_ms = int(since.timestamp() * 1000)
        places = await consumer.offsets_for_times(dict.fromkeys(ends, since_ms))
        starts = {each: place.offset if place else ends[each] for each, place in places.items()}
    for partition, offset in starts.items():
        consumer.seek(partition, offset)
