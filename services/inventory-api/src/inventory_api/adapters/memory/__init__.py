"""The store in memory: for tests of what stands on the store. It passes the same contract tests as PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from inventory_api.application.errors import UnavailableError
from inventory_api.application.store import (
    Answers,
    Catalogue,
    Commands,
    Ledger,
    Levels,
    Reservations,
    Transaction,
    Transfers,
)
from resilience_runtime import Clock

from .records import MemoryAnswers, MemoryCommands, MemoryLedger, MemoryReservations
from .rows import Rows
from .stock import MemoryCatalogue, MemoryLevels
from .transfers import MemoryTransfers


class MemoryStore:
    """One transaction at a time.

    Attributes:
        up: set to False, the store behaves as a database that is away.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rows = Rows()
        self._lock = asyncio.Lock()
        self.up = True
        self.reads = 0

    @asynccontextmanager
    async def transaction(self, *, first: bool = False) -> AsyncIterator[Transaction]:  # noqa: ARG002 - one at a time
        """Begin; commit when the block ends, roll back when it raises."""
        async with self._lock:
            if not self.up:
                raise UnavailableError("postgresql", "it does not answer in time")
            rows = self._rows.copy()
            yield MemoryTransaction(rows, self._clock)
            self._rows = rows

    @asynccontextmanager
    async def single(self, *, first: bool = False) -> AsyncIterator[Transaction]:
        """Begin what has one step."""
        async with self.transaction(first=first) as transaction:
            yield transaction

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Transaction]:
        """Begin a transaction of reads."""
        self.reads += 1
        async with self.transaction() as transaction:
            yield transaction


class MemoryTransaction:
    """A transaction over a copy of the rows."""

    def __init__(self, rows: Rows, clock: Clock) -> None:
        self._rows = rows
        self._clock = clock
        self.catalogue: Catalogue = MemoryCatalogue(rows, clock)
        self.levels: Levels = MemoryLevels(rows, clock)
        self.reservations: Reservations = MemoryReservations(rows, clock)
        self.ledger: Ledger = MemoryLedger(rows)
        self.transfers: Transfers = MemoryTransfers(rows, clock)
        self.answers: Answers = MemoryAnswers(rows)
        self.commands: Commands = MemoryCommands(rows)

    async def now(self) -> datetime:
        """Return the clock's time."""
        return self._clock.now()

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """Undo the block alone when it raises."""
        before = self._rows.copy()
        try:
            yield
        except BaseException:
            self._rows.take(before)
            raise
