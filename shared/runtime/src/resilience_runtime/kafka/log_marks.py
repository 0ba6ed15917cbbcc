"""Notices that a topic was deleted and made again, although its new log is as long by now as the old one was.

Kafka numbers topics (KIP-516), but aiokafka speaks no version of the protocol that tells the number. So by time: in a
log that goes on, what was written after all that was read is not where reading began.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition


class LogLostError(Exception):
    """The broker's log is not the one that was read so far."""


@dataclass(frozen=True, slots=True)
class _Mark:
    next: int
    newest_ms: int


class LogMarks:
    """How far each partition was read, and the newest time in it, as of the last check."""

    def __init__(self) -> None:
        self._newest_ms: dict[TopicPartition, int] = {}
        self._marks: dict[TopicPartition, _Mark] = {}

    def note(self, partition: TopicPartition, timestamp_ms: int) -> None:
        """Note the time of a record that was read, or passed over."""
        self._newest_ms[partition] = max(self._newest_ms.get(partition, 0), timestamp_ms)

    def forget(self) -> None:
        """Begin anew."""
        self._newest_ms.clear()
        self._marks.clear()

    async def check(self, consumer: AIOKafkaConsumer, read_to: Mapping[TopicPartition, int]) -> None:
        """Compare with the last check, so that what a new log brought since then does not hide it; then mark anew.

        Raises:
            LogLostError: the log begins with what was written after all that had been read of it.
        """
        fresh = {
            each: _Mark(read_to[each], newest_ms)
            for each, newest_ms in self._newest_ms.items()
            if each in read_to
        }
        asked = {each: mark.newest_ms + 1 for each, mark in self._marks.items()}
        later = await consumer.offsets_for_times(asked) if asked else {}
        odd = [each for each, at in later.items() if at and at.offset < self._marks[each].next]
        firsts = await consumer.beginning_offsets(odd) if odd else {}
        for partition in odd:
            if later[partition].offset <= firsts[partition]:
                raise LogLostError(f"{partition.topic}/{partition.partition} began anew")
        self._marks = fresh
