"""A record as Kafka's client gives it, as the bus tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resilience_runtime.bus import Message

if TYPE_CHECKING:
    from aiokafka import ConsumerRecord


def message_of(record: ConsumerRecord) -> Message:
    """Return the record as a message."""
    return Message(
        record.topic,
        record.key,
        record.value,
        tuple(record.headers),
        record.partition,
        record.offset,
        record.timestamp,
    )
