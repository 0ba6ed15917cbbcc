"""Publishes the outbox. Every replica runs one; the database's own lock elects who works.

At least once, in order: a kill between publishing and forgetting publishes the same records, with the same ids and
sequences, again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import datetime

import asyncpg
import structlog

from resilience_contracts import Event, encode
from resilience_runtime import Backoff, Clock, EventPublisher, PublishError

from .election import CALL_S, LEASE_CHECK_S, Duty, do_while_elected
from .sql import outbox

log = structlog.get_logger(__name__)

ELECTION = 7_267_003
"""Advisory lock of the one replica that publishes."""
PUBLISH_DEADLINE_S = 5.0
IDLE_S = 0.2
SIDE_BY_SIDE = 8
"""SKUs: a request that comes meanwhile waits for no more of them."""


class Relay:
    """Publishes while it holds the lock.

    Attributes:
        published: records since the start, for metrics.
    """

    def __init__(self, database_url: str, publisher: EventPublisher, source: str, clock: Clock) -> None:
        self._duty = Duty("relay", ELECTION, database_url)
        self._publisher = publisher
        self._source = source
        self._clock = clock
        self._elected = False
        self._since: datetime | None = None
        self.published = 0

    def age_s(self) -> float | None:
        """Return how long the oldest change waits to be published; None where another replica publishes."""
        if not self._elected:
            return None
        return max(0.0, (self._clock.now() - self._since).total_seconds()) if self._since else 0.0

    async def run(self) -> None:
        """Publish for ever."""
        await do_while_elected(self._duty, self._publish, self._clock)

    async def _publish(self, connection: asyncpg.Connection, backoff: Backoff) -> None:
        self._elected = True
        try:
            # What a predecessor that lost its lock still has under way is out, or given up, after this.
            await self._clock.sleep(LEASE_CHECK_S)
            while True:
                await self._publish_some(connection, backoff)
        finally:
            self._elected, self._since = False, None

    async def _publish_some(self, connection: asyncpg.Connection, backoff: Backoff) -> None:
        async with asyncio.timeout(CALL_S):
            taken = await outbox.take(connection)
        self._since = taken.since
        try:
            await self._send(taken.events)
        except PublishError as error:
            log.info("outbox waits", reason=str(error))
            await self._clock.sleep(backoff.next_s())
            return
        async with asyncio.timeout(CALL_S):
            await outbox.forget(connection, taken.ids)
        backoff.reset()
        if len(taken.ids) < outbox.BATCH:
            self._since = None
            await self._clock.sleep(IDLE_S)

    async def _send(self, sequences: Sequence[Sequence[Event]]) -> None:
        """Publish the events of each SKU one after the other, those of a few SKUs side by side."""
        waiting = iter(sequences)
        senders = [self._send_in_order(waiting) for _ in range(SIDE_BY_SIDE)]
        for result in await asyncio.gather(*senders, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    async def _send_in_order(self, sequences: Iterator[Sequence[Event]]) -> None:
        for events in sequences:
            for event in events:
                await self._publisher.publish(*encode(event, self._source), deadline_s=PUBLISH_DEADLINE_S)
                self.published += 1
