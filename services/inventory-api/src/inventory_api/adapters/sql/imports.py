"""Imports in PostgreSQL: staged without a lock, checked without a lock, then written set by set."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, astuple
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import asyncpg

from inventory_api.application.importing import Chunks, Faults, Import, ImportMode, ImportState, Wish
from inventory_api.domain.errors import KeyInFlightError, KeyReusedError
from inventory_api.domain.import_row import RowError

from . import import_statements as sql
from .levels import is_uuid
from .office import Office

DEADLINE_S = 120.0
STEP = 5_000
MANY = 1_000
ONE_AT_A_TIME = 7_267_050
"""Advisory lock: one import at a time over all replicas, so that two never wait for each other's rows."""
_LOCK = "SELECT pg_advisory_lock($1)"
_CLAIM = "SELECT pg_try_advisory_lock(hashtextextended($2, hashtextextended($1, 0)))"
"""A session's lock on the key of a caller: who has it knows that nobody else works on it, whatever a row says."""
_DISCLAIM = "SELECT pg_advisory_unlock(hashtextextended($2, hashtextextended($1, 0)))"
_FORGET_BROKEN = "DELETE FROM imports WHERE actor = $1 AND key = $2 AND state = 'running'"
_BEGIN = """
    INSERT INTO imports (id, state, mode, dry_run, actor, key, sha256) VALUES ($1, 'running', $2, $3, $4, $5, $6)
    ON CONFLICT ON CONSTRAINT imports_key DO NOTHING
    RETURNING *
"""
_OF_KEY = "SELECT * FROM imports WHERE actor = $1 AND key = $2"
_OF_ID = "SELECT * FROM imports WHERE id = $1"
_FORGET = "DELETE FROM imports WHERE id = $1 AND state = 'running'"
_FINISH = """
    UPDATE imports SET state = $2, rows = $3, changed = $4, unchanged = $5, failed = $6, errors = $7,
                       finished_at = clock_timestamp()
    WHERE id = $1 RETURNING *
"""


class SqlImports:
    """Imports over connections of the office."""

    def __init__(self, office: Office) -> None:
        self._office = office

    async def run(self, wish: Wish, chunks: Chunks, faults: Faults) -> Import:
        """Do an import, unless the same one was done."""
        async with self._office.connection(DEADLINE_S) as connection, _claimed(connection, wish) as claimed:
            begun = None
            if claimed:
                begun = await connection.fetchrow(
                    _BEGIN, uuid4(), wish.mode, wish.dry_run, wish.actor, wish.key, wish.sha256
                )
            if begun is None:
                return _same(await connection.fetchrow(_OF_KEY, wish.actor, wish.key), wish)
            try:
                return await _Run(connection, begun["id"], wish, faults).do(chunks)
            except Exception:
                # What could not be read, or was busy, may be sent again with the same key.
                if not connection.is_closed():
                    await connection.execute(_FORGET, begun["id"])
                raise

    async def find(self, import_id: str) -> Import | None:
        """Return an import."""
        if not is_uuid(import_id):
            return None
        async with self._office.connection(5) as connection:
            row = await connection.fetchrow(_OF_ID, UUID(import_id))
        return _import_of(row) if row else None


class _Run:
    """One import on one connection."""

    def __init__(self, connection: asyncpg.Connection, id_: UUID, wish: Wish, faults: Faults) -> None:
        self._connection = connection
        self._id = id_
        self._wish = wish
        self._faults = faults
        self._atomic = wish.mode is ImportMode.ATOMIC
        self._seen = 0

    async def do(self, chunks: Chunks) -> Import:
        await self._stage(chunks)
        for check in sql.CHECKS:
            await self._leave_out(sql.leave_out(check))
        if self._atomic and self._faults.number:
            return await self._finish(ImportState.REFUSED, (0, 0))
        await self._connection.execute(_LOCK, ONE_AT_A_TIME)
        if self._atomic or self._wish.dry_run:
            return await self._at_once()
        for start in range(1, await self._last_line() + 1, STEP):
            async with self._connection.transaction():
                await self._take(start, start + STEP - 1)
        return await self._finish(ImportState.APPLIED, await self._counts())

    async def _stage(self, chunks: Chunks) -> None:
        for statement in sql.STAGE:
            await self._connection.execute(statement)
        async for chunk in chunks:
            self._seen += len(chunk)
            records = [astuple(row) for row in chunk]
            await self._connection.copy_records_to_table("staged", records=records, columns=sql.COLUMNS)
        self._seen += self._faults.number
        for statement in sql.PREPARE:
            await self._connection.execute(statement)
        if self._seen > MANY:
            # Tables that this transaction fills look empty to the planner, which would compare each row with all.
            await self._connection.execute("SET enable_nestloop = off")

    async def _at_once(self) -> Import:
        """Take every row in one transaction, and undo it when that was not to be or only to be tried."""
        transaction = self._connection.transaction()
        await transaction.start()
        try:
            await self._take(1, await self._last_line())
            refused = self._atomic and self._faults.number > 0
            counts = (0, 0) if refused else await self._counts()
            if not refused and not self._wish.dry_run:
                done = await self._finish(ImportState.APPLIED, counts)
                await transaction.commit()
                return done
        except BaseException:
            if not self._connection.is_closed():
                await transaction.rollback()
            raise
        await transaction.rollback()
        return await self._finish(ImportState.REFUSED if refused else ImportState.CHECKED, counts)

    async def _take(self, first: int, last: int) -> None:
        """Write the rows of these lines, in the transaction of the caller."""
        connection = self._connection
        signature = (f"import {self._id}", self._wish.actor)
        for statement in (sql.ADD_SKUS, sql.CHANGE_SKUS):
            await connection.execute(statement, first, last)
        await connection.execute(sql.OPEN, first, last, *signature)
        await connection.fetchval(sql.LOCK, first, last)
        await connection.execute(sql.EXPIRE_DUE, first, last)
        await connection.execute("TRUNCATE compared")
        await connection.execute(sql.COMPARE, first, last)
        await self._leave_out(sql.LEAVE_OUT_SHORT)
        await connection.execute(sql.WRITE, *signature)

    async def _leave_out(self, statement: str) -> None:
        rows = await self._connection.fetch(statement)
        for row in rows:
            self._faults.add(RowError(row["line"], row["col"], row["code"], row["message"]))
        if rows:
            self._faults.number += rows[0]["number"] - len(rows)

    async def _last_line(self) -> int:
        last: int = await self._connection.fetchval("SELECT coalesce(max(line), 0) FROM staged")
        return last

    async def _counts(self) -> tuple[int, int]:
        """Return how many rows changed something, and how many found it so already."""
        changed: int = await self._connection.fetchval(sql.COUNT_CHANGED)
        return changed, max(0, self._seen - self._faults.number - changed)

    async def _finish(self, state: ImportState, counts: tuple[int, int]) -> Import:
        first = sorted(self._faults.first, key=lambda error: error.line)
        errors = json.dumps([asdict(error) for error in first])
        values = (self._id, state, self._seen, *counts, self._faults.number, errors)
        row = await self._connection.fetchrow(_FINISH, *values)
        assert row is not None  # noqa: S101 - it was begun here
        return _import_of(row)


@asynccontextmanager
async def _claimed(connection: asyncpg.Connection, wish: Wish) -> AsyncIterator[bool]:
    """Take the key of a wish, if it has one; what a connection that is gone had begun under it is forgotten."""
    if wish.key is None:
        yield True
        return
    if not await connection.fetchval(_CLAIM, wish.actor, wish.key):
        yield False
        return
    await connection.execute(_FORGET_BROKEN, wish.actor, wish.key)
    try:
        yield True
    except Exception:
        if not connection.is_closed():
            await connection.execute(_DISCLAIM, wish.actor, wish.key)
        raise
    await connection.execute(_DISCLAIM, wish.actor, wish.key)


def _same(row: asyncpg.Record | None, wish: Wish) -> Import:
    if row is None:
        raise KeyInFlightError
    if (row["sha256"], row["mode"], row["dry_run"]) != (wish.sha256, wish.mode, wish.dry_run):
        raise KeyReusedError
    if row["state"] == ImportState.RUNNING:
        raise KeyInFlightError
    return _import_of(row)


def _import_of(row: asyncpg.Record) -> Import:
    state = ImportState(row["state"])
    oldest = datetime.now(UTC) - timedelta(seconds=DEADLINE_S)
    if state is ImportState.RUNNING and row["created_at"] < oldest:
        state = ImportState.INTERRUPTED
    return Import(
        id=str(row["id"]),
        state=state,
        mode=ImportMode(row["mode"]),
        dry_run=row["dry_run"],
        rows=row["rows"],
        changed=row["changed"],
        unchanged=row["unchanged"],
        failed=row["failed"],
        errors=tuple(RowError(**error) for error in json.loads(row["errors"])),
        created_at=row["created_at"],
        finished_at=row["finished_at"],
    )
