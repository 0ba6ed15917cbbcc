"""Records of topics from a time on up to now, as they are; read without a consumer group."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from datetime import datetime

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from resilience_runtime.bus import Message

from .errors import StackError
from .stack import run_apart

FETCH_MS = 500
ANSWER_S = 20.0
POLL_S = 0.01


def read_records(bootstrap: str, topics: Collection[str], since: datetime | None = None) -> list[Message]:
    """Return what is in topics, oldest first; a topic that does not exist has nothing.

    Args:
        bootstrap: Kafka's address.
        topics: their names.
        since: leaves out what is older; by default nothing.

    Raises:
        StackError: Kafka does not answer.
    """
    try:
        return run_apart(_read(bootstrap, topics, since))
    except (KafkaError, OSError, TimeoutError) as error:
        raise StackError(
            f"Kafka at {bootstrap} does not answer", "start the stack with `resilience up`"
        ) from error


async def _read(bootstrap: str, topics: Collection[str], since: datetime | None) -> list[Message]:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    try:
        async with asyncio.timeout(ANSWER_S):
            await consumer.start()
            partitions = await _partitions(consumer, topics)
            ends = await consumer.end_offsets(partitions) if partitions else {}
            await _rewind(consumer, partitions, since)
        found: list[Message] = []
        while any([await consumer.position(partition) < end for partition, end in ends.items()]):  # awaits
            async with asyncio.timeout(ANSWER_S):
                for records in (await consumer.getmany(timeout_ms=FETCH_MS)).values():
                    found += [_message(record) for record in records]
    finally:
        await consumer.stop()
    before = {(each.topic, each.partition): end for each, end in ends.items()}
    inside = [message for message in found if message.offset < before[message.topic, message.partition]]
    return sorted(inside, key=lambda message: message.timestamp_ms)


async def _partitions(consumer: AIOKafkaConsumer, topics: Collection[str]) -> list[TopicPartition]:
    wanted = set(topics) & await consumer.topics()
    if not wanted:
        return []
    consumer.subscribe(sorted(wanted))
    # Without a group it assigns itself every partition once it knows them.
    while {partition.topic for partition in consumer.assignment()} != wanted:  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(POLL_S)
    return list(consumer.assignment())


async def _rewind(
    consumer: AIOKafkaConsumer, partitions: list[TopicPartition], since: datetime | None
) -> None:
    if not partitions:
        return
    if since is None:
        await consumer.seek_to_beginning(*partitions)
        return
    since_ms = int(since.timestamp() * 1000)
    for partition, place in (await consumer.offsets_for_times(dict.fromkeys(partitions, since_ms))).items():
        if place is None:
            await consumer.seek_to_end(partition)
        else:
            consumer.seek(partition, place.offset)


def _message(record: ConsumerRecord) -> Message:
    return Message(
        record.topic,
        record.key,
        record.value,
        tuple(record.headers),
        record.partition,
        record.offset,
        record.timestamp,
    )
