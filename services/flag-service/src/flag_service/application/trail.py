"""The audit trail: entries chained and stored in order, and the last ones read back."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from flag_service.domain.audit import Action, AuditChain, Deed
from resilience_contracts import AuditRecorded, Encoded, HoldSet, encode
from resilience_contracts.audit import faults
from resilience_runtime.bus import EventPublisher, PublishError, Reader
from resilience_runtime.clock import Clock

TRAIL_CAPACITY = 1_000
BEGIN_DEADLINE_S = 5.0


class AuditTrail:
    """Writes one chain, reads everyone's.

    An entry that Kafka did not take is sent again before the next one, byte for byte: the chain has no gap,
    and at most an exact duplicate.
    """

    def __init__(self, chain: AuditChain, publisher: EventPublisher, clock: Clock, source: str) -> None:
        self._chain = chain
        self._publisher = publisher
        self._clock = clock
        self._source = source
        self._waiting: deque[Encoded] = deque()
        self._heard = self._judged = 0
        self._faults: list[str] = []
        self._lock = asyncio.Lock()
        self._begun = asyncio.Event()
        self._entries: deque[AuditRecorded] = deque(maxlen=TRAIL_CAPACITY)

    def begin(self) -> None:
        """Allow entries: the topic has been read, so the end of this writer's chain is known."""
        self._begun.set()

    async def begin_after(self, reader: Reader) -> None:
        """Allow entries once a reader has read the topic."""
        await reader.wait_caught_up()
        self.begin()

    async def record(self, deed: Deed) -> None:
        """Store an entry; returns when Kafka has it and all before it.

        Raises:
            PublishError: Kafka did not store it in time, and it stays in line; or the end of the chain is not
                known yet, and nothing was noted.
        """
        await self._wait_begun()
        self.note(deed)
        await self.flush()

    @asynccontextmanager
    async def recorded(self, deed: Deed) -> AsyncIterator[None]:
        """Store an entry, then let the deed be stored; if that fails, the next entry says so.

        Raises:
            PublishError: Kafka did not store one of them in time.
        """
        await self.record(deed)
        try:
            yield
        except PublishError:
            self.note(deed.undone())
            raise

    def note(self, deed: Deed) -> None:
        """Put an entry in line; it is stored with the next flush."""
        self._waiting.append(encode(self._chain.extend(deed, self._clock.now()), self._source))

    async def flush(self) -> None:
        """Store every entry in line, in order.

        Raises:
            PublishError: Kafka did not store one in time.
        """
        async with self._lock:
            while self._waiting:
                await self._publisher.publish(*self._waiting[0])
                self._waiting.popleft()

    async def _wait_begun(self) -> None:
        try:
            async with asyncio.timeout(BEGIN_DEADLINE_S):
                await self._begun.wait()
        except TimeoutError as error:
            raise PublishError("the audit trail has not been read yet") from error

    def heard(self, entry: AuditRecorded) -> None:
        """Take an entry that was read from the topic."""
        self._chain.resume(entry)
        self._entries.append(entry)
        self._heard += 1

    def has_expired(self, hold: HoldSet) -> bool:
        """Say whether an entry tells that a hold expired, whoever wrote it."""
        return any(_tells_expiry(entry, hold) for entry in reversed(self._entries))

    async def faults(self) -> list[str]:
        """Name what is wrong with the hash chains of the last entries."""
        if self._judged != self._heard:
            self._judged, entries = self._heard, list(self._entries)
            self._faults = await asyncio.to_thread(lambda: list(faults(entries)))
        return self._faults

    def newest(self, scope: str | None) -> list[AuditRecorded]:
        """Return the last entries, newest first."""
        return [entry for entry in reversed(self._entries) if scope in {None, entry.scope}]


def _tells_expiry(entry: AuditRecorded, hold: HoldSet) -> bool:
    before = entry.before or {}
    same = (before.get("hold_id"), before.get("version")) == (hold.hold_id, hold.version)
    return (
        same and entry.action == Action.EXPIRE and entry.scope == hold.scope and entry.target == hold.target
    )
