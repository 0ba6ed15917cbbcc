"""News out of the topics, from any position that they still reach back to: for who fell behind what is kept here."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from inventory_api.domain.news import News, Novelty, Position
from resilience_runtime import BadMessage, KafkaAccess, RuntimeFault
from resilience_runtime.kafka.record import message_of

from .news_feed import TOPICS, news_of

RECORDS_MOST = 2_000
READ_S = 10.0
POLL_MS = 1_000
STOP_S = 2.0

log = structlog.get_logger(__name__)


class ArchiveError(RuntimeFault):
    """The topics of stock cannot be read now."""

    code = "archive_unavailable"


class KafkaArchive:
    """Reads the topics with a consumer for each piece: it is needed seldom, after an outage or a change of the courier."""

    def __init__(self, kafka: KafkaAccess, client_id: str) -> None:
        self._kafka = kafka
        self._client_id = client_id

    async def read(self, position: Position) -> tuple[Sequence[News], dict[str, int]]:
        """Return the news of the next records, at most of 2,000, and the position that they lead to.

        Raises:
            ArchiveError: Kafka does not answer.
        """
        consumer = AIOKafkaConsumer(
            *TOPICS,
            **self._kafka.options(),
            client_id=self._client_id,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",  # of what retention has removed, the next that is there
        )
        try:
            async with asyncio.timeout(READ_S):
                await consumer.start()
                return await _read(consumer, position)
        except (KafkaError, OSError, TimeoutError) as error:
            raise ArchiveError(f"the topics of stock cannot be read: {type(error).__name__}") from error
        finally:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(consumer.stop(), STOP_S)


async def _read(consumer: AIOKafkaConsumer, position: Position) -> tuple[Sequence[News], dict[str, int]]:
    partitions = consumer.assignment()
    ends = await consumer.end_offsets(list(partitions))
    for partition in partitions:
        # A position beyond the end is of a log that was lost: what there is now begins anew.
        wanted = position.get(_place(partition), 0)
        consumer.seek(partition, wanted if wanted <= ends[partition] else 0)
    found: list[News] = []
    left, novelty = RECORDS_MOST, Novelty(RECORDS_MOST)
    while left > 0 and await _behind(consumer, ends):
        for records in (await consumer.getmany(timeout_ms=POLL_MS, max_records=left)).values():
            left -= len(records)
            found.extend(news for record in records if (news := _news(record, novelty)))
    return found, {_place(at): await consumer.position(at) for at in partitions}


async def _behind(consumer: AIOKafkaConsumer, ends: dict[TopicPartition, int]) -> bool:
    return any([await consumer.position(partition) < end for partition, end in ends.items()])


def _news(record: ConsumerRecord, novelty: Novelty) -> News | None:
    try:
        return news_of(message_of(record), novelty)
    except BadMessage as error:
        # The reader of the topics has made a dead letter of it.
        log.info("record passed over", topic=record.topic, offset=record.offset, reason=str(error)[:200])
        return None


def _place(partition: TopicPartition) -> str:
    return f"{partition.topic}/{partition.partition}"
