"""Publishes the redo log. Every replica runs one; the database's own lock elects who works.

One record after the other, each acknowledged before the next: what is in the topic is always a prefix of what was
committed, and a kill repeats at most the last group. The offset to go on from is in the database, so that any copy
of it says itself from where it is to be brought up to date.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg
import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from resilience_contracts import RowsWritten, RowWrite, encode
from resilience_runtime import Backoff, Clock, KafkaAccess

from .election import CALL_S, LEASE_CHECK_S, Duty, do_while_elected
from .sql import redo

log = structlog.get_logger(__name__)

ELECTION = 7_267_005
"""Advisory lock of the one replica that publishes."""
RECORD_BYTES = 200_000
"""A record is closed when it has so much; a statement's rows stay together."""
MAX_RECORD_BYTES = 3 * 1024 * 1024
PUBLISH_S = 5.0
IDLE_S = 0.1


@dataclass(frozen=True, slots=True)
class Log:
    """Where the log is, and who writes it."""

    kafka: KafkaAccess
    client_id: str
    source: str


class RedoRelay:
    """Publishes while it holds the lock.

    Attributes:
        published: records since the start, for metrics.
    """

    def __init__(self, database_url: str, log: Log, clock: Clock) -> None:
        self._duty = Duty("redo", ELECTION, database_url)
        self._log = log
        self._clock = clock
        self._elected = False
        self._since: datetime | None = None
        self.published = 0

    def age_s(self) -> float | None:
        """Return how long the oldest write waits to be published; None where another replica publishes."""
        if not self._elected:
            return None
        return max(0.0, (self._clock.now() - self._since).total_seconds()) if self._since else 0.0

    async def run(self) -> None:
        """Publish for ever."""
        await do_while_elected(self._duty, self._publish, self._clock)

    async def _publish(self, connection: asyncpg.Connection, backoff: Backoff) -> None:
        self._elected = True
        try:
            while True:
                async with asyncio.timeout(CALL_S):  # its age goes on while no broker is there to take it
                    self._since = await redo.oldest(connection)
                try:
                    await self._publish_to_broker(connection, backoff)
                except (KafkaError, TimeoutError, OSError) as error:
                    log.info("redo log waits", reason=f"{type(error).__name__}: {str(error)[:200]}")
                    await self._clock.sleep(backoff.next_s())
        finally:
            self._elected, self._since = False, None

    async def _publish_to_broker(self, connection: asyncpg.Connection, backoff: Backoff) -> None:
        producer = AIOKafkaProducer(
            **self._log.kafka.options(),
            client_id=f"{self._log.client_id}-redo",
            acks="all",
            enable_idempotence=True,
            max_request_size=MAX_RECORD_BYTES,
        )
        try:
            async with asyncio.timeout(CALL_S):
                await producer.start()
            # What a predecessor that lost its lock still has under way is out, or given up, after this.
            await self._clock.sleep(LEASE_CHECK_S)
            lineage = await redo.lineage(connection)
            while True:
                published = await self._publish_group(connection, producer, lineage)
                backoff.reset()
                if published < redo.BATCH:  # a group costs as much as ten writes, however few are in it
                    self._since = None
                    await self._clock.sleep(IDLE_S)
        finally:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(producer.stop(), CALL_S)

    async def _publish_group(
        self, connection: asyncpg.Connection, producer: AIOKafkaProducer, lineage: str
    ) -> int:
        """Publish one group, record after record; return how many statements it had."""
        ids: list[int] = []
        offset = -1
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            async for kept, ends in _records(redo.group(connection)):
                self._since = self._since or kept[0].created_at
                offset = await self._send(producer, lineage, kept, begins=not ids, ends=ends)
                ids += [each.id for each in kept]
        if not ids:
            return 0
        async with asyncio.timeout(CALL_S):
            await redo.forget(connection, ids, offset + 1)
        return len(ids)

    async def _send(
        self,
        producer: AIOKafkaProducer,
        lineage: str,
        kept: Sequence[redo.Kept],
        *,
        begins: bool,
        ends: bool,
    ) -> int:
        event = RowsWritten(
            lineage=lineage,
            begins=begins,
            ends=ends,
            writes=tuple(RowWrite(id=each.id, table=each.table, rows_json=each.rows_json) for each in kept),
            read_at=self._clock.now(),
        )
        topic, key, value, headers = encode(event, self._log.source)
        async with asyncio.timeout(PUBLISH_S):
            stored = await producer.send_and_wait(topic, value, key, headers=list(headers), partition=0)
        self.published += 1
        offset: int = stored.offset
        return offset


async def _records(group: AsyncIterator[redo.Kept]) -> AsyncIterator[tuple[list[redo.Kept], bool]]:
    """Cut a group into records of bounded size; the flag says which is the last."""
    record: list[redo.Kept] = []
    size = 0
    async for kept in group:
        if record and size + len(kept.rows_json) > RECORD_BYTES:
            yield record, False
            record, size = [], 0
        record.append(kept)
        size += len(kept.rows_json)
    if record:
        yield record, True
