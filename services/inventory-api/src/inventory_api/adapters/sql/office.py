"""Long work in PostgreSQL, on connections of its own: imports, exports, reports.

It must not use up the connections, the deadlines or the circuit breaker of those who sell.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from inventory_api.application.errors import BusyError, UnavailableError
from resilience_guards import CircuitBreaker

from .database import DEPENDENCY, SCHEMA_RETRY_S

AT_ONCE = 2
QUEUE_S = 5.0
CONNECT_S = 2.0
LOCK_S = 5.0

_BUSY = (
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.InvalidCachedStatementError,  # a migration has added a column since the statement was prepared
)
_AWAY = (
    asyncpg.PostgresConnectionError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ObjectNotInPrerequisiteStateError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)


class Office:
    """Gives connections, few at a time.

    Args:
        url: of the database.
        breaker: of those who sell. It is asked, so that nobody waits for a server known to be away, and not told:
            slow reports are no sign of anything.
        application: name that the server shows.
    """

    def __init__(self, url: str, breaker: CircuitBreaker, application: str) -> None:
        self._url = url
        self._breaker = breaker
        self._application = f"{application} office"
        self._slots = asyncio.Semaphore(AT_ONCE)

    @asynccontextmanager
    async def connection(self, deadline_s: float) -> AsyncIterator[asyncpg.Connection]:
        """Give a connection that is cut after `deadline_s`, whatever it is doing.

        Raises:
            UnavailableError: no answer in time.
            BusyError: too many are at work, or rows are in demand.
        """
        if not self._breaker.is_call_permitted():
            raise UnavailableError(DEPENDENCY, "its circuit breaker is open")
        try:
            async with asyncio.timeout(QUEUE_S):
                await self._slots.acquire()
        except TimeoutError:
            raise BusyError from None
        try:
            async with self._connected(deadline_s) as connection:
                yield connection
        except _BUSY as error:
            raise BusyError from error
        except asyncpg.UndefinedTableError as error:
            raise UnavailableError(DEPENDENCY, "its schema is being prepared", SCHEMA_RETRY_S) from error
        except _AWAY as error:
            raise UnavailableError(DEPENDENCY, "it does not answer in time") from error
        finally:
            self._slots.release()

    @asynccontextmanager
    async def _connected(self, deadline_s: float) -> AsyncIterator[asyncpg.Connection]:
        settings = {
            "application_name": self._application,
            "statement_timeout": str(round(deadline_s * 1000)),
            "lock_timeout": str(round(LOCK_S * 1000)),
            "jit": "off",
        }
        async with asyncio.timeout(CONNECT_S):
            connection = await asyncpg.connect(self._url, timeout=CONNECT_S, server_settings=settings)
        # Not a timeout of the task: asyncpg would ask the same frozen server to cancel the query.
        cut = asyncio.get_running_loop().call_later(deadline_s, connection.terminate)
        try:
            yield connection
        finally:
            cut.cancel()
            connection.terminate()
