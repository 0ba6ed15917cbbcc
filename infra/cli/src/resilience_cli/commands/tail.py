"""`resilience tail`: the topics as they grow."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from enum import StrEnum
from typing import Annotated, Any

import typer
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from resilience_cli.console import out, tame
from resilience_cli.errors import KAFKA_AWAY, StackError
from resilience_cli.lines import line_of
from resilience_cli.target import find_target
from resilience_contracts import CodecError, Topic, UnknownEventError, decode
from resilience_runtime.kafka.access import KafkaAccess


class Stream(StrEnum):
    """What can be followed."""

    HEALTH = "health"
    LEVELS = "levels"
    CHANGES = "changes"
    HOLDS = "holds"


TOPICS = {
    Stream.HEALTH: Topic.HEALTH,
    Stream.LEVELS: Topic.LEVELS,
    Stream.CHANGES: Topic.LEVEL_CHANGES,
    Stream.HOLDS: Topic.HOLDS,
}
FETCH_MS = 300


def tail(
    stream: Annotated[Stream, typer.Argument(help="What to follow.", show_default=False)],
    last: Annotated[int, typer.Option(min=0, help="Begin with this many of the last records.")] = 10,
    follow: Annotated[bool, typer.Option(help="Stay, and print what comes.")] = True,
    as_document: Annotated[bool, typer.Option("--json", help="One JSON document a line.")] = False,
) -> None:
    """Print health events, level states, level changes or holds: the last ones, then each as it comes."""
    with suppress(KeyboardInterrupt):
        asyncio.run(_tail(find_target().kafka, TOPICS[stream], last, follow, as_document))


async def _tail(kafka: KafkaAccess, topic: Topic, last: int, follow: bool, as_document: bool) -> None:
    consumer = AIOKafkaConsumer(topic, **kafka.options(), enable_auto_commit=False)
    try:
        await consumer.start()
    except KafkaError as error:
        await consumer.stop()
        raise StackError(
            f"Kafka at {kafka.bootstrap} does not answer, or does not let us in", KAFKA_AWAY
        ) from error
    try:
        ends = await _rewind(consumer, last)
        for record in await _until(consumer, ends, last):
            _print(record, as_document)
        while follow:
            for records in (await consumer.getmany(timeout_ms=FETCH_MS)).values():
                for record in records:
                    _print(record, as_document)
    finally:
        await consumer.stop()


async def _rewind(consumer: AIOKafkaConsumer, last: int) -> dict[TopicPartition, int]:
    partitions = list(consumer.assignment())
    starts = await consumer.beginning_offsets(partitions)
    ends: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
    for partition in partitions:
        consumer.seek(partition, max(starts[partition], ends[partition] - last))
    return ends


async def _until(consumer: AIOKafkaConsumer, ends: dict[TopicPartition, int], last: int) -> list[Any]:
    """Read up to the given ends; return the last records of all partitions in the order of time.

    Compaction leaves gaps, so that positions tell the end and not counts.
    """
    records: list[Any] = []
    while any([await consumer.position(partition) < end for partition, end in ends.items()]):  # awaits
        for some in (await consumer.getmany(timeout_ms=FETCH_MS)).values():
            records += some
    records.sort(key=lambda record: record.timestamp)
    return records[-last:] if last else []


def _print(record: ConsumerRecord, as_document: bool) -> None:
    key = (record.key or b"").decode(errors="replace")
    where = {"topic": record.topic, "partition": record.partition, "offset": record.offset, "key": key}
    if record.value is None:
        _write(where | {"ended": True}, f"{key} ended", as_document)
        return
    try:
        event = decode(record.value, record.headers).event
    except (CodecError, UnknownEventError) as error:
        _write(where | {"unreadable": str(error)}, f"{key} unreadable: {error}", as_document)
        return
    _write(where | {"type": event.type, "data": event.model_dump(mode="json")}, line_of(event), as_document)


def _write(document: dict[str, Any], line: str, as_document: bool) -> None:
    if as_document:
        print(json.dumps(document), flush=True)
    else:
        out.print(tame(line), markup=False, soft_wrap=True)
