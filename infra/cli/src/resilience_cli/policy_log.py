"""Logs of health events: the topic itself, and files of CloudEvents in structured mode, one a line."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any, Protocol

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError

from resilience_contracts import (
    CodecError,
    Envelope,
    HealthObserved,
    Topic,
    UnknownEventError,
    decode,
    format_time,
    schema_uri,
)
from resilience_runtime.kafka.access import KafkaAccess

from .errors import KAFKA_AWAY, StackError
from .progress import Told

STRUCTURED = (("content-type", b"application/cloudevents+json"),)
STORED = "storedtime"
"""Extension attribute: when Kafka stored the event, which is the time that the engine goes by."""
LINE_LIMIT_BYTES = 1024 * 1024
FETCH_MS = 500
FETCH_RECORDS = 2000
SILENT_FETCHES = 20
LONGEST_SPAN = 100_000
STDIN = Path("-")


@dataclass(frozen=True, slots=True)
class Entry:
    """One event of a log, with the time that it was stored."""

    envelope: Envelope
    event: HealthObserved
    stored_at: datetime


class Reader(Protocol):
    """Takes a log as it is read, in the order of each scope."""

    def take(self, entry: Entry) -> None:
        """Take the next event."""

    def skip(self, place: str, reason: str) -> None:
        """Take note of something that is no health event."""

    def close(self) -> None:
        """End a part of the log: no scope of it comes again."""


async def read_topic(kafka: KafkaAccess, begin: datetime, reader: Reader, told: Told) -> None:
    """Read the health topic from a moment to its present end, one partition after the other.

    Raises:
        StackError: Kafka is away, or gives nothing of what it says it has.
    """
    consumer = AIOKafkaConsumer(
        Topic.HEALTH, **kafka.options(), enable_auto_commit=False, max_poll_records=FETCH_RECORDS
    )
    try:
        await consumer.start()
        spans = await _spans(consumer, begin)
        total, done = sum(end - start for start, end in spans.values()), 0
        for part, (start, end) in spans.items():
            async for record in _records(consumer, part, start, end):
                _hand_on(record, reader)
                done += 1
                told(done, total)
            reader.close()
    except UnknownTopicOrPartitionError as error:
        raise StackError(
            f"there is no topic {Topic.HEALTH}", "create it with `resilience topics apply`"
        ) from error
    except KafkaError as error:
        raise StackError(
            f"Kafka at {kafka.bootstrap} does not answer ({type(error).__name__})",
            f"{KAFKA_AWAY}, or replay a file with --from",
        ) from error
    finally:
        await consumer.stop()


async def _spans(consumer: AIOKafkaConsumer, begin: datetime) -> dict[TopicPartition, tuple[int, int]]:
    numbers = consumer.partitions_for_topic(Topic.HEALTH)
    consumer.unsubscribe()  # the topic was named for its metadata; now its partitions are read in turn
    parts = [TopicPartition(str(Topic.HEALTH), number) for number in sorted(numbers)]
    begin_ms = int(begin.timestamp() * 1000)
    ends = await consumer.end_offsets(parts)
    found = await consumer.offsets_for_times(dict.fromkeys(parts, begin_ms))
    return {part: (found[part].offset if found[part] else ends[part], ends[part]) for part in parts}


async def _records(consumer: AIOKafkaConsumer, part: TopicPartition, start: int, end: int) -> Any:
    if start >= end:
        return
    consumer.assign([part])
    consumer.seek(part, start)
    silent = 0
    while await consumer.position(part) < end:
        batch = (await consumer.getmany(part, timeout_ms=FETCH_MS)).get(part, [])
        silent = 0 if batch else silent + 1
        if silent > SILENT_FETCHES:
            raise StackError(
                f"Kafka gives nothing more of {part.topic}, partition {part.partition}",
                "see `resilience doctor`, then try again",
            )
        for record in batch:
            if record.offset < end:
                yield record


def _hand_on(record: ConsumerRecord, reader: Reader) -> None:
    place = f"partition {record.partition}, offset {record.offset}"
    stored_at = datetime.fromtimestamp(max(0, record.timestamp) / 1000, UTC)
    try:
        envelope = decode(record.value, record.headers)
    except (CodecError, UnknownEventError) as error:
        reader.skip(place, str(error))
        return
    _hand_on_event(envelope, stored_at, place, reader)


def read_file(path: Path, reader: Reader, told: Told) -> None:
    """Read a file of events, `-` for stdin. Without a stored time an event is as old as it says.

    Raises:
        StackError: the file cannot be read.
    """
    with _opened(path) as (lines, size):
        done = 0
        for number, line in enumerate(_lines(lines), start=1):
            done += len(line)
            if line.strip():
                _hand_on_line(line, f"line {number}", reader)
            told(done, size)
        reader.close()


@contextmanager
def _opened(path: Path) -> Iterator[tuple[IO[bytes], int | None]]:
    if path == STDIN:
        yield sys.stdin.buffer, None
        return
    try:
        with path.open("rb") as file:
            yield file, path.stat().st_size
    except OSError as error:
        raise StackError(
            f"{path} cannot be read ({error.strerror})",
            "name a file that `resilience policy replay --save FILE` wrote, or - for stdin",
        ) from error


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    """Yield lines, those that are too long cut off, so that none can fill the memory."""
    while line := file.readline(LINE_LIMIT_BYTES):
        rest = line
        while not rest.endswith(b"\n") and (rest := file.readline(LINE_LIMIT_BYTES)):
            continue
        yield line


def _hand_on_line(line: bytes, place: str, reader: Reader) -> None:
    try:
        envelope = decode(line, STRUCTURED)
        stored_at = _stored_at(json.loads(line).get(STORED)) or envelope.event.time
    except (CodecError, UnknownEventError) as error:
        reader.skip(place, str(error))
        return
    _hand_on_event(envelope, stored_at, place, reader)


def _stored_at(text: object) -> datetime | None:
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(str(text))
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise CodecError(f"{STORED} is no RFC 3339 time") from error


def _hand_on_event(envelope: Envelope, stored_at: datetime, place: str, reader: Reader) -> None:
    if isinstance(envelope.event, HealthObserved):
        reader.take(Entry(envelope, envelope.event, stored_at))
    else:
        reader.skip(place, f"{envelope.event.type} is not a health event")


def line_of_entry(entry: Entry) -> bytes:
    """Write an event as a line of a file."""
    attributes = {
        "specversion": "1.0",
        "id": entry.envelope.id,
        "source": entry.envelope.source,
        "type": entry.event.type,
        "subject": entry.event.subject,
        "time": format_time(entry.event.time),
        "dataschema": schema_uri(type(entry.event)),
        "datacontenttype": "application/json",
        STORED: format_time(entry.stored_at),
    }
    head = json.dumps(attributes, separators=(",", ":"))[:-1]
    return f'{head},"data":{entry.event.model_dump_json()}}}\n'.encode()


def span_of(text: str) -> timedelta:
    """Read a length of time such as `90m`.

    Raises:
        ValueError: it is none.
    """
    units = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
    number, unit = text[:-1], units.get(text[-1:], "")
    if not unit or not number.isdecimal() or not 0 < int(number) <= LONGEST_SPAN:
        raise ValueError("write it as 45s, 90m, 24h or 7d")
    return timedelta(**{unit: int(number)})
