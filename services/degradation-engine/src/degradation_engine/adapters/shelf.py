"""What earlier workers left in Kafka: stored states, and the levels published last."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import UnknownTopicOrPartitionError
from aiokafka.partitioner import murmur2

from degradation_engine.domain import StateUnreadable
from resilience_contracts import CodecError, LevelState, Topic, Version, decode
from resilience_runtime import KafkaAccess

from .state_record import readable

log = structlog.get_logger(__name__)

READ_TIMEOUT_S = 30.0
POLL_MS = 200
SIGN_BIT = 0x7FFFFFFF
REMEMBERED_KEYS = 32_768


class Held(NamedTuple):
    """The hold that a published level was under."""

    hold_id: str
    observed_at: datetime


@dataclass(slots=True)
class Shelf:
    """What was left behind.

    Attributes:
        partition_count: of the health topic.
        states: readable states, by scope.
        versions: versions published last, by scope.
        orphans: levels published last of scopes without a state.
        held: which hold each level published last was under, and as of when, by scope.
        starts: offset of the first event not acknowledged, by partition.
    """

    partition_count: int
    states: dict[str, bytes] = field(default_factory=dict)
    versions: dict[str, Version] = field(default_factory=dict)
    orphans: dict[str, LevelState] = field(default_factory=dict)
    held: dict[str, Held] = field(default_factory=dict)
    starts: dict[int, int] = field(default_factory=dict)

    def put_level(self, published: LevelState) -> None:
        """Note a level that was published, unless a newer one is noted."""
        scope, version = published.scope, published.version.ordered()
        if version < self.versions.get(scope, version):
            return
        self.versions[scope] = version
        self.held.pop(scope, None)
        if published.hold is not None:
            self.held[scope] = Held(published.hold.hold_id, published.observed_at)
        if scope not in self.states:
            self.orphans[scope] = published

    def partition_of(self, key: bytes) -> int:
        """Return the partition that a key belongs to: Kafka's default partitioner."""
        return partition_of(key, self.partition_count)


@lru_cache(maxsize=REMEMBERED_KEYS)
def partition_of(key: bytes, count: int) -> int:
    """Return the partition of a key among so many, as every Kafka client in its default setting does."""
    return int(murmur2(key) & SIGN_BIT) % count


async def read_shelf(kafka: KafkaAccess, group: str, partitions: Iterable[int]) -> Shelf:
    """Read what is kept for the scopes of these partitions, and where the group goes on in them.

    Raises:
        aiokafka.errors.KafkaError: Kafka does not answer.
        TimeoutError: not read within 30 s.
    """
    mine = set(partitions)
    async with asyncio.timeout(READ_TIMEOUT_S), _consumer(kafka) as consumer:
        health = _partitions(consumer, Topic.HEALTH)
        shelf = Shelf(len(health))
        states, levels = _partitions(consumer, Topic.ENGINE_STATE), _partitions(consumer, Topic.LEVELS)
        consumer.unsubscribe()  # the topics were named for their metadata; now their partitions are read in turn
        async for record in _read(consumer, [part for part in states if part.partition in mine]):
            _shelve_state(shelf, record)
        begins = await consumer.beginning_offsets([part for part in health if part.partition in mine])
        shelf.starts = await _starts(kafka, group, begins)
        _drop_unreadable(shelf)
        async for record in _read(consumer, levels):
            if record.key and shelf.partition_of(record.key) in mine:
                _shelve_level(shelf, record)
    return shelf


def _partitions(consumer: AIOKafkaConsumer, topic: str) -> list[TopicPartition]:
    numbers = consumer.partitions_for_topic(topic)
    if not numbers:
        raise UnknownTopicOrPartitionError(topic)
    return [TopicPartition(topic, number) for number in sorted(numbers)]


async def _starts(kafka: KafkaAccess, group: str, begins: dict[TopicPartition, int]) -> dict[int, int]:
    admin = AIOKafkaAdminClient(**kafka.options())
    await admin.start()
    try:
        committed = await admin.list_consumer_group_offsets(group)
    finally:
        await admin.close()
    return {
        part.partition: max(begin, committed[part].offset if part in committed else begin)
        for part, begin in begins.items()
    }


@asynccontextmanager
async def _consumer(kafka: KafkaAccess) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        Topic.HEALTH,
        Topic.ENGINE_STATE,
        Topic.LEVELS,
        **kafka.options(),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def _read(consumer: AIOKafkaConsumer, parts: list[TopicPartition]) -> AsyncIterator[ConsumerRecord]:
    if not parts:
        return
    consumer.assign(parts)
    await consumer.seek_to_beginning(*parts)
    ends = await consumer.end_offsets(parts)
    while True:
        positions = {part: await consumer.position(part) for part in parts}
        if all(positions[part] >= end for part, end in ends.items()):
            return
        for records in (await consumer.getmany(timeout_ms=POLL_MS)).values():
            for record in records:
                yield record


def _shelve_state(shelf: Shelf, record: ConsumerRecord) -> None:
    scope = (record.key or b"").decode(errors="replace")
    if record.value is None:
        shelf.states.pop(scope, None)
        return
    shelf.states[scope] = record.value


def _drop_unreadable(shelf: Shelf) -> None:
    for scope, value in list(shelf.states.items()):
        try:
            shelf.states[scope] = readable(scope, value)
        except StateUnreadable as error:
            log.warning("state is lost", scope=scope, reason=str(error))
            del shelf.states[scope]


def _shelve_level(shelf: Shelf, record: ConsumerRecord) -> None:
    try:
        event = decode(record.value, record.headers).event
    except CodecError:
        return  # a tombstone, or not ours: it says nothing of a level
    if isinstance(event, LevelState):
        shelf.put_level(event)
