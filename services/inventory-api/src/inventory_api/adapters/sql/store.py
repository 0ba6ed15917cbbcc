"""The store of the application, in PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from sqlalchemy import text

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

from .answers import SqlAnswers
from .catalogue import SqlCatalogue
from .commands import SqlCommands
from .database import Database
from .ledger import SqlLedger
from .levels import SqlLevels
from .reservations import SqlReservations
from .session import Session
from .transfers import SqlTransfers

_NOW = text("SELECT clock_timestamp()")


class SqlTransaction:
    """A transaction over one session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.catalogue: Catalogue = SqlCatalogue(session)
        self.levels: Levels = SqlLevels(session)
        self.reservations: Reservations = SqlReservations(session)
        self.ledger: Ledger = SqlLedger(session)
        self.transfers: Transfers = SqlTransfers(session)
        self.answers: Answers = SqlAnswers(session)
        self.commands: Commands = SqlCommands(session)

    async def now(self) -> datetime:
        """Return the database's time."""
        now: datetime = (await self._session.execute(_NOW)).scalar_one()
        return now

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """Undo the block alone when it raises."""
        async with self._session.savepoint():
            yield


class SqlStore:
    """Transactions in PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def transaction(self, *, first: bool = False) -> AsyncIterator[Transaction]:
        """Begin a transaction that writes."""
        async with self._database.writing(first=first) as session:
            yield SqlTransaction(session)

    @asynccontextmanager
    async def single(self, *, first: bool = False) -> AsyncIterator[Transaction]:
        """Begin what is one statement."""
        async with self._database.writing(single=True, first=first) as session:
            yield SqlTransaction(session)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Transaction]:
        """Begin a transaction of reads."""
        async with self._database.reading() as session:
            yield SqlTransaction(session)
