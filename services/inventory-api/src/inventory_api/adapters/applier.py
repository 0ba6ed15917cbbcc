"""Applies the command log to the database. Every replica runs one; the database's own lock elects who works.

Progress is in the database, moved in the transaction that applies: what a kill interrupts is done again or
was done, never both. No consumer group, so nothing can be committed that is not applied.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from random import Random

import asyncpg
import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from inventory_api.adapters.election import Duty, do_while_elected
from inventory_api.application.applying import RenderApplied, apply_command, skip
from inventory_api.application.commands import Command
from inventory_api.application.patience import patiently
from inventory_api.application.store import Store, Transaction
from inventory_api.domain.operation import OperationState
from resilience_contracts import AdjustmentCommand, CodecError, CountCommand, Topic, UnknownEventError, decode
from resilience_runtime import Backoff, Clock, DeadLetters, KafkaAccess, Message
from resilience_runtime.kafka.record import message_of

log = structlog.get_logger(__name__)

ELECTION = 7_267_002
"""Advisory lock of the one replica that applies."""
POLL_MS = 500
CALL_S = 5.0


class HeldBy(StrEnum):
    """What a dead letter waits for: Kafka takes none, or there were too many."""

    KAFKA = "kafka"
    CAP = "cap"


@dataclass(frozen=True, slots=True)
class Source:
    """Where the log is, where its lock is, and how fast it may be drained."""

    kafka: KafkaAccess
    database_url: str
    client_id: str
    per_second: float


class Applier:
    """Drains the log while it holds the lock.

    Attributes:
        applied, exceptions, unreadable: records since the start, for metrics.
        waiting: records that are not applied yet, as last seen; None while another replica works.
        held_by: what keeps the dead letter of an unreadable record, and with it every record after that, from going on.
    """

    def __init__(
        self,
        source: Source,
        store: Store,
        *,
        render: RenderApplied,
        letters: DeadLetters,
        clock: Clock,
        changed: Callable[[list[str]], None],
    ) -> None:
        self._source = source
        self._store = store
        self._render = render
        self._letters = letters
        self._clock = clock
        self._changed = changed
        self.applied = self.exceptions = self.unreadable = 0
        self.waiting: int | None = None
        self.held_by: HeldBy | None = None

    async def run(self) -> None:
        """Work for ever."""
        duty = Duty("applier", ELECTION, self._source.database_url)
        await do_while_elected(duty, self._reign, self._clock)

    async def _reign(self, _: asyncpg.Connection, backoff: Backoff) -> None:
        try:
            await self._drain(backoff)
        finally:
            self.waiting = None

    async def _drain(self, backoff: Backoff) -> None:
        consumer = AIOKafkaConsumer(
            **self._source.kafka.options(),
            client_id=self._source.client_id,
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_poll_records=100,
        )
        try:
            async with asyncio.timeout(CALL_S * 2):
                await consumer.start()
                await self._seek(consumer)
            backoff.reset()
            while True:
                batches = await consumer.getmany(timeout_ms=POLL_MS)
                for partition, records in batches.items():
                    for record in records:
                        await self._take(partition, record)
                await self._count(consumer)
        finally:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(consumer.stop(), CALL_S)

    async def _seek(self, consumer: AIOKafkaConsumer) -> None:
        numbers = await self._partitions(consumer)
        partitions = [TopicPartition(str(Topic.COMMANDS), number) for number in sorted(numbers)]
        consumer.assign(partitions)
        firsts = await consumer.beginning_offsets(partitions)
        ends = await consumer.end_offsets(partitions)
        positions = {
            partition: await self._position(consumer, partition, firsts[partition], ends[partition])
            for partition in partitions
        }
        consumer.assign(partitions)
        for partition, position in positions.items():
            consumer.seek(partition, position)

    async def _partitions(self, consumer: AIOKafkaConsumer) -> set[int]:
        consumer._client.add_topic(str(Topic.COMMANDS))  # noqa: SLF001 - no public way to ask for a topic's partitions before it is assigned
        await consumer._client.force_metadata_update()  # noqa: SLF001 - as above
        numbers: set[int] = consumer.partitions_for_topic(str(Topic.COMMANDS)) or set()
        if not numbers:
            raise LookupError(f"{Topic.COMMANDS} does not exist yet")
        return numbers

    async def _position(
        self, consumer: AIOKafkaConsumer, partition: TopicPartition, first: int, end: int
    ) -> int:
        async with self._store.transaction() as transaction:
            position = await transaction.commands.lock_offset(partition.partition)
            if position > end or not await self._goes_on(consumer, partition, position, first, transaction):
                # The broker's log was lost and begins anew. Commands have identities: what was applied stays so.
                log.error("command log is not the one that was applied", partition=partition.partition)
                position = first
                await transaction.commands.move_offset(partition.partition, position)
        if position < first:
            log.error("commands were deleted unapplied", partition=partition.partition, lost=first - position)
        return max(position, first)

    async def _goes_on(
        self,
        consumer: AIOKafkaConsumer,
        partition: TopicPartition,
        position: int,
        first: int,
        transaction: Transaction,
    ) -> bool:
        """Say whether the record before a position was taken: in a log that began anew it was not."""
        if position <= first:
            return True
        consumer.assign([partition])
        consumer.seek(partition, position - 1)
        message = message_of(await consumer.getone(partition))
        if message.offset >= position:
            return True  # the one before is no more
        try:
            event = decode(message.value, message.headers).event
        except (CodecError, UnknownEventError):
            return True  # passed over, as it would be again
        if not isinstance(event, AdjustmentCommand | CountCommand):
            return True
        return await transaction.commands.operation(event.command_id) is not None

    async def _take(self, partition: TopicPartition, record: ConsumerRecord) -> None:
        message = message_of(record)
        try:
            event = decode(message.value, message.headers).event
        except (CodecError, UnknownEventError) as error:
            await self._pass_over(message, error)
            return
        if not isinstance(event, AdjustmentCommand | CountCommand):
            await self._pass_over(message, UnknownEventError(f"{event.type} is no command"))
            return
        await self._apply(event, partition.partition, record.offset)
        await self._clock.sleep(1 / self._source.per_second)

    async def _pass_over(self, message: Message, error: Exception) -> None:
        self.unreadable += 1
        await self._bury(message, error)
        await patiently(lambda: skip(self._store, message.partition, message.offset))

    async def _bury(self, message: Message, error: Exception) -> None:
        """Try until the dead letter is stored: a newer version may have accepted what this one cannot read."""
        backoff = Backoff(Random())  # noqa: S311 - spreads retries, guards nothing
        try:
            capped = self._letters.capped
            while not await self._letters.send(message, error, "apply"):
                reason = HeldBy.CAP if self._letters.capped > capped else HeldBy.KAFKA
                capped = self._letters.capped
                if reason is not self.held_by:
                    log.error(
                        "commands wait: the dead letter of an unreadable one is not stored",
                        partition=message.partition,
                        offset=message.offset,
                        waits_for=reason,
                    )
                self.held_by = reason
                await self._clock.sleep(backoff.next_s())
        finally:
            self.held_by = None

    async def _apply(self, command: Command, partition: int, offset: int) -> None:
        operation = await patiently(
            lambda: apply_command(self._store, command, partition, offset, self._render)
        )
        if operation is None:
            return
        if operation.state is OperationState.APPLIED:
            self.applied += 1
        else:
            self.exceptions += 1
            log.warning("command became an exception", operation=operation.id, code=operation.code)
        self._changed([command.sku])

    async def _count(self, consumer: AIOKafkaConsumer) -> None:
        assigned = list(consumer.assignment())
        if len(consumer.partitions_for_topic(str(Topic.COMMANDS)) or assigned) != len(assigned):
            raise LookupError("partitions were added")
        ends = await consumer.end_offsets(assigned)
        self.waiting = sum([ends[partition] - await consumer.position(partition) for partition in assigned])
