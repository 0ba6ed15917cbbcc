"""A `Reader` on Kafka: every partition of some topics, without a group, through every outage."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Callable, Iterable, Mapping
from random import Random

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import (
    CorruptRecordException,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    UnsupportedCodecError,
)

from resilience_runtime.backoff import Backoff
from resilience_runtime.bus import Apply
from resilience_runtime.clock import Clock, SystemClock
from resilience_runtime.intake import Intake, Names, OnBad

from .access import KafkaAccess
from .log_marks import LogLostError, LogMarks
from .record import message_of

log = structlog.get_logger(__name__)

POLL_MS = 200
METADATA_MS = 10_000
BATCH = 500
ANSWER_S = 10.0
CHECK_S = 5.0
SILENT_CHECKS = 3
STOP_S = 3.0
STEPS = 10_000
UNREADABLE = (CorruptRecordException, UnsupportedCodecError, ValueError, TypeError, IndexError, struct.error)
"""What a damaged or foreign record does to aiokafka's decoding."""


class ReplicaReader:
    """Keeps the caller's state a replica of topics. See `Reader` for the contract.

    Positions are kept here, not by the broker. A new connection goes on where the old one ended. When the
    broker no longer has what was read (its log ends before our position, begins after it, or began anew since),
    `on_rebuild` is called and everything is read again.

    Args:
        kafka: how to get in; bare bootstrap servers for a Kafka that asks for nothing.
        on_rebuild: told to forget what was applied, before everything is read again.
        on_bad: told of messages that `apply` refused; usually `DeadLetters.for_stage(...)`.
        gather_s: rest for so long between two readings once caught up, so that each brings more: a reading costs as much
            as a dozen records.
        since_s: begin with the records of the last seconds, instead of with the oldest.
        on_begin: with `since_s`, told the offsets at which partitions begin, by `topic/partition`, before any record
            of them is applied.
        names: further topics to read as these.

    Attributes:
        rebuilds: how often everything was read again.
        unreadable: how many records were passed over because aiokafka cannot decode them.
    """

    def __init__(
        self,
        kafka: KafkaAccess | str,
        topics: Iterable[str],
        apply: Apply,
        on_rebuild: Callable[[], None] | None = None,
        *,
        on_bad: OnBad | None = None,
        client_id: str = "resilience",
        clock: Clock | None = None,
        random: Random | None = None,
        check_s: float = CHECK_S,
        gather_s: float = 0.0,
        since_s: float | None = None,
        on_begin: Callable[[Mapping[str, int]], None] | None = None,
        names: Names | None = None,
    ) -> None:
        self._kafka = KafkaAccess.of(kafka)
        self._topics = names.topics(topics) if names else tuple(topics)
        self._on_rebuild = on_rebuild or (lambda: None)
        self._client_id = client_id
        self._clock = clock or SystemClock()
        self._random = random or Random()  # noqa: S311 - spreads retries, guards nothing
        self._check_s = check_s
        self._gather_s = gather_s
        self._since_s = since_s
        self._on_begin = on_begin or (lambda _: None)
        self._intake = Intake(apply, on_bad, self._clock, names)
        self._next: dict[TopicPartition, int] = {}
        self._targets: dict[TopicPartition, int] = {}
        self._marks = LogMarks()
        self._caught_up = asyncio.Event()
        self._batch = BATCH
        self.rebuilds = 0
        self.unreadable = 0

    @property
    def caught_up(self) -> bool:
        """Whether everything that was there when reading began has been applied."""
        return self._caught_up.is_set()

    @property
    def bad_messages(self) -> int:
        """How many messages could not be applied."""
        return self._intake.bad_messages

    async def wait_caught_up(self) -> None:
        """Return when `caught_up` holds."""
        await self._caught_up.wait()

    def last_record_age_s(self) -> float | None:
        """Return seconds since the newest record was written, or None if none came yet."""
        return self._intake.last_record_age_s()

    async def run(self) -> None:
        """Read for ever."""
        backoff = Backoff(self._random)
        while True:
            try:
                await self._session(backoff)
            except LogLostError as error:
                self._forget(str(error))
                continue
            except Exception as error:  # noqa: BLE001 - whatever a broker or a record does, a replica goes on
                log.warning(
                    "reading interrupted", topics=self._topics, reason=f"{type(error).__name__}: {error}"
                )
            await self._clock.sleep(backoff.next_s())

    def _forget(self, reason: str) -> None:
        log.warning("log lost, reading everything again", topics=self._topics, reason=reason)
        self.rebuilds += 1
        self._next.clear()
        self._targets.clear()
        self._marks.forget()
        self._caught_up.clear()
        self._on_rebuild()

    async def _session(self, backoff: Backoff) -> None:
        consumer = self._build()
        try:
            async with asyncio.timeout(ANSWER_S):
                await consumer.start()
                await self._seek(consumer)
            await self._check_ends(consumer)
            backoff.reset()
            await self._follow(consumer)
        finally:
            await _stop(consumer)

    async def _follow(self, consumer: AIOKafkaConsumer) -> None:
        silent = 0
        check = asyncio.create_task(self._next_check(consumer))
        try:
            while True:
                await self._poll(consumer)
                if self._gather_s and self.caught_up:
                    await self._clock.sleep(self._gather_s)
                if check.done():
                    silent = 0 if check.result() else silent + 1
                    if silent >= SILENT_CHECKS:
                        raise TimeoutError("no answer from the broker")
                    check = asyncio.create_task(self._next_check(consumer))
        finally:
            check.cancel()
            await asyncio.wait({check})

    async def _next_check(self, consumer: AIOKafkaConsumer) -> bool:
        await self._clock.sleep(self._check_s)
        try:
            await self._check_ends(consumer)
        except (KafkaError, OSError, TimeoutError):
            return False
        return True

    async def _poll(self, consumer: AIOKafkaConsumer) -> None:
        try:
            batches = await consumer.getmany(timeout_ms=POLL_MS, max_records=self._batch)
        except OffsetOutOfRangeError as error:
            raise LogLostError(str(error)) from error
        except NoOffsetForPartitionError:
            await self._seek(consumer)  # partitions were added, and aiokafka assigned all of them anew
            return
        except UNREADABLE:
            await self._step_over(consumer)
            return
        for partition, records in batches.items():
            await self._take(partition, records)
        if not self.caught_up:
            await self._note_progress(consumer)
        await asyncio.sleep(0)

    async def _step_over(self, consumer: AIOKafkaConsumer) -> None:
        """Read record by record, and pass over the first one of each partition that cannot be decoded."""
        await self._seek(consumer)  # what was fetched before the failure comes again
        for partition in consumer.assignment():
            try:
                for _ in range(STEPS):
                    batches = await consumer.getmany(partition, timeout_ms=POLL_MS, max_records=1)
                    if not batches:
                        break
                    await self._take(partition, batches[partition])
            except UNREADABLE as error:
                offset = await consumer.position(partition)
                log.error(  # noqa: TRY400 - the reason says it all
                    "unreadable record skipped",
                    topic=partition.topic,
                    partition=partition.partition,
                    offset=offset,
                    reason=f"{type(error).__name__}: {error}",
                )
                self.unreadable += 1
                self._next[partition] = offset + 1
                self._marks.note(partition, int(self._clock.now().timestamp() * 1000))
                consumer.seek(partition, offset + 1)

    async def _take(self, partition: TopicPartition, records: list[ConsumerRecord]) -> None:
        for record in records:
            await self._intake.take(message_of(record))
            self._next[partition] = record.offset + 1
            self._marks.note(partition, record.timestamp)

    async def _note_progress(self, consumer: AIOKafkaConsumer) -> None:
        # Positions, not offsets of records: compaction and transactions leave ends where no record is.
        for partition, end in self._targets.items():
            if await consumer.position(partition) < end:
                return
        log.info("caught up", topics=self._topics, partitions=len(self._targets))
        self._caught_up.set()

    async def _seek(self, consumer: AIOKafkaConsumer) -> None:
        assigned = consumer.assignment()
        for partition in assigned & self._next.keys():
            consumer.seek(partition, self._next[partition])
        fresh = assigned - self._next.keys()
        if fresh and not await self._begin(consumer, fresh):
            raise TimeoutError("the beginning of the log was not found")

    async def _begin(self, consumer: AIOKafkaConsumer, fresh: set[TopicPartition]) -> bool:
        if self._since_s is None:
            return bool(await consumer.seek_to_beginning(*fresh))
        since_ms = int((self._clock.now().timestamp() - self._since_s) * 1000)
        # Ends first: what is written between the two questions must not be passed over.
        ends = await consumer.end_offsets(list(fresh))
        found = await consumer.offsets_for_times(dict.fromkeys(fresh, since_ms))
        for partition in fresh:
            recent = found.get(partition)
            # Noted, so that a new connection goes on here although nothing has been read yet.
            self._next[partition] = recent.offset if recent else ends[partition]
            consumer.seek(partition, self._next[partition])
        self._on_begin({f"{at.topic}/{at.partition}": self._next[at] for at in fresh})
        return True

    async def _check_ends(self, consumer: AIOKafkaConsumer) -> None:
        async with asyncio.timeout(ANSWER_S):
            ends = await consumer.end_offsets(list(consumer.assignment()))
            for partition, end in ends.items():
                if self._next.get(partition, 0) > end:
                    raise LogLostError(
                        f"{partition.topic}/{partition.partition} ends at {end}, we are further"
                    )
            await self._marks.check(consumer, self._next)
        if not self._targets:
            self._targets = ends

    def _build(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            *self._topics,
            **self._kafka.options(),
            client_id=self._client_id,
            group_id=None,
            auto_offset_reset="none",
            enable_auto_commit=False,
            metadata_max_age_ms=METADATA_MS,
            request_timeout_ms=int(ANSWER_S * 1000),
            fetch_max_wait_ms=500,
        )


async def _stop(consumer: AIOKafkaConsumer) -> None:
    with contextlib.suppress(Exception):
        await asyncio.wait_for(consumer.stop(), STOP_S)
