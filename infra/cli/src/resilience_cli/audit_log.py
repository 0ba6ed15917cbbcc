"""The audit log as lines of JSON: read from its topic or from a file, and judged."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from pydantic import ValidationError

from resilience_contracts import AuditRecorded, Topic
from resilience_contracts.audit import log_faults, lost
from resilience_runtime.kafka.access import KafkaAccess

from .errors import KAFKA_AWAY, StackError

FETCH_MS = 500
ANSWER_S = 20


@dataclass(frozen=True, slots=True)
class Judged:
    """What was read, and what is wrong with it."""

    entries: list[AuditRecorded]
    faults: list[str]

    @property
    def tips(self) -> dict[str, str]:
        """Return the last entry of each writer, with the beginning of its hash."""
        return {entry.writer: f"{entry.sequence} {entry.hash[:12]}" for entry in self.entries}


def judge(lines: Iterable[bytes], copy: Iterable[bytes] = ()) -> Judged:
    """Check a whole log, and that it has every entry of an earlier copy."""
    entries, unreadable = _parse(lines)
    earlier, _ = _parse(copy)
    return Judged(entries, [*unreadable, *log_faults(entries), *lost(entries, earlier)])


def read_file(path: Path) -> list[bytes]:
    """Return the lines of an export.

    Raises:
        StackError: it cannot be read.
    """
    try:
        return path.read_bytes().splitlines()
    except OSError as error:
        raise StackError(
            f"{path} cannot be read ({error.strerror})", "name a file of `resilience audit export`"
        ) from error


def read_topic(kafka: KafkaAccess) -> list[bytes]:
    """Return every value of the audit topic, in order.

    Raises:
        StackError: Kafka does not answer.
    """
    try:
        return asyncio.run(_read(kafka))
    except (KafkaError, OSError, TimeoutError) as error:
        raise StackError(
            f"Kafka at {kafka.bootstrap} does not answer, or does not let us in", KAFKA_AWAY
        ) from error


async def _read(kafka: KafkaAccess) -> list[bytes]:
    consumer = AIOKafkaConsumer(
        Topic.AUDIT, **kafka.options(), auto_offset_reset="earliest", enable_auto_commit=False
    )
    try:
        async with asyncio.timeout(ANSWER_S):
            await consumer.start()
            ends = await consumer.end_offsets(list(consumer.assignment()))
            await consumer.seek_to_beginning()
        values: list[bytes] = []
        while any([await consumer.position(partition) < end for partition, end in ends.items()]):  # awaits
            for records in (await consumer.getmany(timeout_ms=FETCH_MS)).values():
                values += [record.value or b"" for record in records]
        return values
    finally:
        await consumer.stop()


def _parse(lines: Iterable[bytes]) -> tuple[list[AuditRecorded], list[str]]:
    entries: list[AuditRecorded] = []
    unreadable: list[str] = []
    for number, line in enumerate(lines, 1):
        try:
            entry = AuditRecorded.model_validate_json(line, strict=True)
        except ValidationError:
            unreadable.append(f"line {number}: is no audit entry")
            continue
        if json.loads(line) != entry.model_dump(mode="json"):
            unreadable.append(f"line {number}: {entry.event_id} has more in it than an entry has")
        entries.append(entry)
    return entries, unreadable
