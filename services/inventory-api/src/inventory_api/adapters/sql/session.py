"""A connection whose every call has a deadline that holds even when the server is frozen.

The deadline cuts the socket. Cancelling the task instead would make asyncpg ask the same frozen server to
cancel the query, and SQLAlchemy would wait for a rollback.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import CursorResult, TextClause
from sqlalchemy.ext.asyncio import AsyncConnection


class Watch:
    """Calls `cut` when nothing has been begun for `deadline_s` seconds."""

    def __init__(self, deadline_s: float, cut: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._deadline_s = deadline_s
        self._cut = cut
        self._until = self._loop.time() + deadline_s
        self._timer = self._loop.call_at(self._until, self._check)
        self.expired = False

    def touch(self) -> None:
        """Begin the next call."""
        self._until = self._loop.time() + self._deadline_s

    def stop(self) -> None:
        """Watch no longer."""
        self._timer.cancel()

    def _check(self) -> None:
        if self._loop.time() < self._until:
            self._timer = self._loop.call_at(self._until, self._check)
        else:
            self.expired = True
            self._cut()


class Session:
    """Executes statements on one connection under a watch."""

    def __init__(self, connection: AsyncConnection, watch: Watch) -> None:
        self._connection = connection
        self._watch = watch

    async def execute(
        self, statement: TextClause, values: Mapping[str, Any] | None = None
    ) -> CursorResult[Any]:
        """Execute one statement."""
        self._watch.touch()
        result = await self._connection.execute(statement, values)
        self._watch.touch()
        return result

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """Undo the block alone when it raises."""
        self._watch.touch()
        async with self._connection.begin_nested():
            yield
            self._watch.touch()
        self._watch.touch()


@asynccontextmanager
async def watched(connection: AsyncConnection, deadline_s: float) -> AsyncIterator[Session]:
    """Run a transaction on a connection.

    Raises:
        TimeoutError: a call ran into its deadline; the connection is gone.
    """
    raw = (await connection.get_raw_connection()).driver_connection
    assert raw is not None  # noqa: S101 - asyncpg always has one
    watch = Watch(deadline_s, raw.terminate)
    try:
        async with connection.begin():
            yield Session(connection, watch)
            watch.touch()
    except Exception as error:
        if watch.expired:  # whatever asyncpg made of the cut
            raise TimeoutError from error
        raise
    finally:
        watch.stop()
