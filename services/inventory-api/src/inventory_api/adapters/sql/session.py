"""A connection whose every call has a deadline that holds even when the server is frozen.

The deadline cuts the socket. Cancelling the task instead would make asyncpg ask the same frozen server to
cancel the query.

SQLAlchemy keeps the pool and the notation of statements; they are executed by asyncpg itself, since the way through
SQLAlchemy costs two to three times as much processor time as the statement itself.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any

import asyncpg
from sqlalchemy import TextClause

_PARAMETER = re.compile(r"(?<![:\w])::?(?!:)(\w+)(?!:)")


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


class Row(asyncpg.Record):
    """A row, by column: `row["sku"]` or `row.sku`."""

    def __getattr__(self, name: str) -> Any:
        return self[name]


class Rows:
    """What a statement returned."""

    __slots__ = ("_rows",)

    def __init__(self, rows: list[Row]) -> None:
        self._rows = rows

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)

    def all(self) -> list[Row]:
        """Return every row."""
        return self._rows

    def first(self) -> Row | None:
        """Return the first row, if there is one."""
        return self._rows[0] if self._rows else None

    def one(self) -> Row:
        """Return the only row."""
        (row,) = self._rows
        return row

    def scalar_one(self) -> Any:
        """Return the first column of the only row."""
        return self.one()[0]

    def scalars(self) -> list[Any]:
        """Return the first column."""
        return [row[0] for row in self._rows]


@lru_cache(maxsize=512)
def numbered(statement: TextClause) -> tuple[str, tuple[str, ...]]:
    """Return a statement in PostgreSQL's notation, `:name` as `$1`, and the names by number."""
    names: list[str] = []

    def number(found: re.Match[str]) -> str:
        name = found[1]
        if found[0].startswith("::"):
            return found[0]
        if name not in names:
            names.append(name)
        return f"${names.index(name) + 1}"

    return _PARAMETER.sub(number, statement.text), tuple(names)


class Session:
    """Executes statements on one connection under a watch."""

    def __init__(self, connection: asyncpg.Connection, watch: Watch) -> None:
        self._connection = connection
        self._watch = watch

    async def execute(self, statement: TextClause, values: Mapping[str, Any] | None = None) -> Rows:
        """Execute one statement."""
        text, names = numbered(statement)
        given = [values[name] for name in names] if values else ()
        self._watch.touch()
        rows = await self._connection.fetch(text, *given, record_class=Row)
        self._watch.touch()
        return Rows(rows)

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """Undo the block alone when it raises."""
        self._watch.touch()
        async with self._connection.transaction():
            yield
            self._watch.touch()
        self._watch.touch()


@asynccontextmanager
async def watched(raw: asyncpg.Connection, deadline_s: float, *, single: bool) -> AsyncIterator[Session]:
    """Run a transaction on a connection, or with `single` each statement as a transaction of its own.

    Raises:
        TimeoutError: a call ran into its deadline; the connection is gone.
    """
    watch = Watch(deadline_s, raw.terminate)
    try:
        if single:
            yield Session(raw, watch)
            return
        async with raw.transaction():
            yield Session(raw, watch)
            watch.touch()
    except Exception as error:
        if watch.expired:  # whatever asyncpg made of the cut
            raise TimeoutError from error
        if isinstance(error, asyncpg.InternalClientError):
            raw.terminate()  # the server said good-bye to it while it was idle: it is closed, or soon will be
        raise
    finally:
        watch.stop()
