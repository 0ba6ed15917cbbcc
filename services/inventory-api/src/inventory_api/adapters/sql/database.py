"""Bounded access to PostgreSQL: slots, a circuit breaker, and deadlines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import asyncpg
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine

from inventory_api.application.errors import BusyError, RowInDemandError, UnavailableError
from resilience_guards import CallNotPermitted, CircuitBreaker
from resilience_runtime.ending import end

from .session import Session, watched
from .slots import Slots
from .url import engine_on
from .writes import Writes

DEPENDENCY = "postgresql"
SCHEMA_RETRY_S = 1.0
LOCK_SHARE = 0.7
"""Share of a call's deadline that a lock is waited for: a row in demand must not look like a dead server."""
_NOTHING = text("SELECT 1")
_LET_GO = text(
    "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE pid = :pid AND wait_event = 'SyncRep'"
)
_BUSY = frozenset({"55P03", "40P01", "40001", "0A000"})
"""lock_not_available, deadlock_detected, serialization_failure: the server is well, the row is in demand. And
feature_not_supported, "cached plan must not change result type": a migration has added a column since the statement was
prepared on this connection. asyncpg prepares it anew for the next transaction, not for the one that fails by it."""
_NO_SCHEMA = frozenset({"42P01", "42703"})
"""undefined_table, undefined_column: the server is well and not all migrations have run on it yet."""
_AWAY = ("08", "25006", "28", "53", "57", "3D", "55000")
"""SQLSTATEs that speak against the server, by their beginning: connection, a server that only lets read (a standby,
after a failover to the wrong one), a password that it does not take (any more), resources, operator intervention, and a
database that is not there or closed, as while a backup takes its place."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may be asked of PostgreSQL at once; a caller waits `queue_s` for a slot at most.

    Few writers, since those who want the same row only wait for one another on the server.
    """

    writers: int
    readers: int
    queue_s: float
    deadline_s: float


def connect(url: str, limits: Limits, application: str) -> AsyncEngine:
    """Prepare a pool; nothing is connected before it is used."""
    deadline_ms = round(limits.deadline_s * 1000)
    engine = engine_on(
        url,
        pool={
            "pool_size": limits.writers + limits.readers,
            "max_overflow": 0,
            "pool_use_lifo": True,
            "pool_timeout": limits.deadline_s,
        },
        timeout=limits.deadline_s,
        server_settings={
            "application_name": application,
            "statement_timeout": str(deadline_ms),
            "lock_timeout": str(round(deadline_ms * LOCK_SHARE)),
            "idle_in_transaction_session_timeout": "5000",
        },
    )
    event.listen(engine.sync_engine, "checkout", _refuse_closed)
    return engine


def _refuse_closed(connection: Any, _record: object, _proxy: object) -> None:
    if connection.driver_connection.is_closed():
        raise DisconnectionError


def against(error: BaseException) -> bool:
    """Say whether an error speaks against the server rather than against the request."""
    if isinstance(error, DBAPIError):
        state = _sqlstate(error)
        return error.connection_invalidated or state is None or state.startswith(_AWAY)
    if isinstance(error, asyncpg.PostgresError):
        return (_sqlstate(error) or "").startswith(_AWAY)
    return isinstance(
        error,
        OSError | TimeoutError | PoolTimeoutError | asyncpg.InterfaceError | asyncpg.InternalClientError,
    )


def _translate(state: str | None, error: Exception) -> None:
    if state in _BUSY:
        raise RowInDemandError from error
    if state in _NO_SCHEMA:
        raise UnavailableError(DEPENDENCY, "its schema is being prepared", SCHEMA_RETRY_S) from error


def _sqlstate(error: Exception) -> str | None:
    return getattr(error.orig if isinstance(error, DBAPIError) else error, "sqlstate", None)


class Database:
    """The one way to PostgreSQL."""

    def __init__(self, engine: AsyncEngine, breaker: CircuitBreaker, limits: Limits) -> None:
        self.breaker = breaker
        self._engine = engine
        self._limits = limits
        self._writers = Slots(limits.writers)
        self._readers = Slots(limits.readers)
        self._failed_s = self._answered_s = float("-inf")
        self._writes = Writes()
        self._letting_go: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def writing(self, *, single: bool = False, first: bool = False) -> AsyncIterator[Session]:
        """Run a transaction, or with `single` one statement, which saves the two round trips of a transaction.

        Args:
            single: whether it is one statement.
            first: whether it has the next slot, before those that wait for one already.

        Raises:
            UnavailableError: no answer within the deadline, or the breaker is open.
            BusyError: no slot in time, or a row is in too much demand.
        """
        connected = self._connected(single=single, write=True)
        async with self._slot(self._writers, first=first), self._guarded(write=True), connected as session:
            yield session

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Session]:
        """Read, each statement from a snapshot of its own, as READ COMMITTED has it; as `writing`, with other slots."""
        async with self._slot(self._readers), self._guarded(), self._connected(single=True) as session:
            yield session

    def refuses_writes(self) -> bool:
        """Say whether many of the newest writes failed while reads went well."""
        return self._writes.refused(asyncio.get_running_loop().time())

    async def check(self) -> None:
        """Ask for nothing, as a reader."""
        async with self.reading() as session:
            await session.execute(_NOTHING)

    async def close(self) -> None:
        """Drop the connections without waiting for the server."""
        for task in list(self._letting_go):
            await end(task)
        await self._engine.dispose(close=False)

    @asynccontextmanager
    async def _slot(self, slots: Slots, *, first: bool = False) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        queued_s = loop.time()
        try:
            async with asyncio.timeout(self._limits.queue_s):
                await slots.acquire(first=first)
        except TimeoutError:
            raise BusyError from None
        try:
            # Who queued behind a call that then ran into its deadline has waited long enough.
            if queued_s < self._failed_s > self._answered_s:
                raise UnavailableError(DEPENDENCY, "it has just not answered others in time")
            yield
        finally:
            slots.release()

    @asynccontextmanager
    async def _guarded(self, *, write: bool = False) -> AsyncIterator[None]:
        """Count a transaction; a slow write says nothing: it waits for rows that others have, the server is well."""
        began_s = asyncio.get_running_loop().time()
        try:
            permit = self.breaker.acquire()
        except CallNotPermitted as refused:
            raise UnavailableError(DEPENDENCY, "its circuit breaker is open", refused.retry_after_s) from None
        try:
            yield
        except (asyncio.CancelledError, GeneratorExit):
            self.breaker.released(permit)
            raise
        except Exception as error:
            if write:
                self._writes.note(asyncio.get_running_loop().time(), failed=against(error))
            elif against(error):
                self._writes.forget()  # it does not read either: that is the breaker's to tell
            if against(error):
                self.breaker.failed(permit)
                self._failed_s = asyncio.get_running_loop().time()
                raise UnavailableError(DEPENDENCY, "it does not answer in time") from error
            self.breaker.succeeded(permit)
            if isinstance(error, DBAPIError | asyncpg.PostgresError):
                _translate(_sqlstate(error), error)
            raise
        else:
            now_s = asyncio.get_running_loop().time()
            slow = write and now_s - began_s >= self.breaker.settings.slow_call_s
            self._answered_s = now_s
            if write:
                self._writes.note(now_s, failed=False)
            (self.breaker.released if slow else self.breaker.succeeded)(permit)

    @asynccontextmanager
    async def _connected(self, *, single: bool = False, write: bool = False) -> AsyncIterator[Session]:
        async with self._engine.connect() as connection:
            raw = (await connection.get_raw_connection()).driver_connection
            assert raw is not None  # noqa: S101 - asyncpg always has one
            pid = raw.get_server_pid()
            try:
                async with watched(raw, self._limits.deadline_s, single=single) as session:
                    yield session
            except TimeoutError:
                if write:
                    task = asyncio.create_task(self._let_go(pid))
                    self._letting_go.add(task)
                    task.add_done_callback(self._letting_go.discard)
                raise

    async def _let_go(self, pid: int) -> None:
        """End the wait of a commit for a standby that is away: it does not notice that we hung up, and keeps its locks.

        It is committed here then, as it would be once the standby is back; what its client was told stays true.
        """
        with suppress(Exception):  # a server that does not even answer this holds no locks that would matter
            async with self._connected(single=True) as session:
                await session.execute(_LET_GO, {"pid": pid})
