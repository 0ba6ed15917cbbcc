"""Brings a restored stock database up to date: by the log of writes in Kafka, and by what the old one kept of it.

The restored copy says from which offset on, and which writes it holds although they had not been published.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import asyncpg
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from pydantic import ValidationError

from resilience_contracts import RowsWritten, Topic
from resilience_runtime.kafka.access import KafkaAccess

from .errors import StackError

ASK_MS = 5_000
PASSED_OVER = 100_000
"""Numbers left out after a replay: what the lost database gave and could not publish is not given again."""
_COLUMNS = """
    SELECT c.relname AS name, a.attname AS column, a.attidentity <> '' AS numbered,
           coalesce(a.attnum = ANY(p.conkey), false) AS key,
           CASE WHEN a.attnotnull AND a.attidentity = '' THEN pg_get_expr(d.adbin, d.adrelid) END AS fallback
    FROM pg_class c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    JOIN pg_constraint p ON p.conrelid = c.oid AND p.contype = 'p'
    JOIN pg_trigger t ON t.tgrelid = c.oid AND t.tgname = 'keep_redo_insert'
    WHERE c.relnamespace = 'public'::regnamespace ORDER BY c.relname, a.attnum
"""
_LAST_NUMBER = "SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence('redo', 'id')::regclass), 0)"


@dataclass(frozen=True, slots=True)
class Table:
    """How rows of a table are put in place, and which column numbers them, if one does."""

    upsert: str
    numbered: str | None


class Replay:
    """Applies the log to one restored database. Use as an async context manager."""

    def __init__(self, connection: asyncpg.Connection, kafka: KafkaAccess) -> None:
        self._connection = connection
        self._partition = TopicPartition(str(Topic.WRITES), 0)
        self._consumer = AIOKafkaConsumer(
            **kafka.options(), enable_auto_commit=False, auto_offset_reset="none"
        )
        self._tables: Mapping[str, Table] = {}
        self._contained: set[int] = set()
        self._seen: set[int] = set()
        self._lineage = ""
        self._next = self._backed_up_at = 0
        self.statements = 0

    async def __aenter__(self) -> Self:
        try:
            await self._consumer.start()
        except KafkaError as error:
            raise StackError(
                f"Kafka does not answer ({type(error).__name__})",
                "start it, or give up what was written since the backup with --no-replay",
            ) from error
        try:
            await self._begin()
        except BaseException:
            await self._consumer.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def catch_up(self) -> None:
        """Apply every complete group that is in the topic by now."""
        end = (await self._consumer.end_offsets([self._partition]))[self._partition]
        if self._next > end:
            raise StackError(
                f"{Topic.WRITES} ends at {end}, before the backup's position {self._next}: its records are lost",
                "restore Kafka first, or give up what was written since the backup with --no-replay",
            )
        group: list[RowsWritten] = []
        begun_at = self._next
        async for record in self._records(end):
            event = _event_of(record, self._lineage)
            if event is None:
                continue
            if event.begins:
                group, begun_at = [], record.offset
            group.append(event)
            if event.ends:
                await self._apply(
                    (write.id, write.table, write.rows_json) for e in group for write in e.writes
                )
                group, begun_at = [], record.offset + 1
        # A group that is not complete yet is read again from where it began.
        self._next = begun_at if group else max(self._next, end)

    async def take_over(self, old: asyncpg.Connection) -> None:
        """Apply what the old database had not published, and leave it to the restored one to publish."""
        if await old.fetchval("SELECT to_regclass('redo_log') IS NULL"):
            return
        if await old.fetchval("SELECT lineage FROM redo_log") != self._lineage:
            return
        if await old.fetchval("SELECT next_offset FROM redo_log") < self._backed_up_at:
            return  # a standby that stopped following: all it has is in the backup, in part since overwritten
        rows = await old.fetch("SELECT id, table_name, rows_json, created_at FROM redo ORDER BY id")
        unknown = [row for row in rows if row["id"] not in self._seen | self._contained]
        await self._apply((row["id"], row["table_name"], row["rows_json"]) for row in unknown)
        await self._connection.executemany(
            "INSERT INTO redo (id, table_name, rows_json, created_at) VALUES ($1, $2, $3, $4)",
            [tuple(row) for row in unknown],
        )

    async def finish(self) -> None:
        """Let the log go on after what is in it, and numbers after those that were given."""
        async with self._connection.transaction():
            for name in self._tables:
                await self._connection.execute(_triggers("ENABLE", name))
            await self._connection.execute("DELETE FROM redo WHERE id = ANY($1::bigint[])", list(self._seen))
            await self._connection.execute("UPDATE redo_log SET next_offset = $1", self._next)
            await self._pass_over("redo", "id", max(self._seen | self._contained, default=0))
            for name, table in self._tables.items():
                if table.numbered:
                    await self._pass_over(name, table.numbered, 0)

    async def _begin(self) -> None:
        if await self._connection.fetchval("SELECT to_regclass('redo_log') IS NULL"):
            raise StackError(
                "the backup is older than the log of writes", "restore it as it is, with --no-replay"
            )
        self._tables = _tables(await self._connection.fetch(_COLUMNS))
        for name in self._tables:  # what is replayed is in the log already
            await self._connection.execute(_triggers("DISABLE", name))
        self._lineage = await self._connection.fetchval("SELECT lineage FROM redo_log")
        self._next = self._backed_up_at = await self._connection.fetchval("SELECT next_offset FROM redo_log")
        self._contained = {row[0] for row in await self._connection.fetch("SELECT id FROM redo")}
        self._consumer.assign([self._partition])
        first = (await self._consumer.beginning_offsets([self._partition]))[self._partition]
        if first > self._next:
            raise StackError(
                f"{Topic.WRITES} begins at {first}, after the backup's position {self._next}: it was kept too short",
                "take a younger backup, or give up what was written since with --no-replay",
            )
        if await self._began_anew(first):
            raise StackError(
                f"{Topic.WRITES} is not the log that it was when the backup was made",
                "take a backup made after Kafka was lost, or give up what was written since with --no-replay",
            )

    async def _began_anew(self, first: int) -> bool:
        """Say whether the record before the backup's position was written only after the backup."""
        end = (await self._consumer.end_offsets([self._partition]))[self._partition]
        if not first < self._next <= end:
            return False
        given: int = await self._connection.fetchval(_LAST_NUMBER)
        self._consumer.seek(self._partition, self._next - 1)
        event = _event_of(await self._consumer.getone(self._partition), self._lineage)
        return event is not None and any(write.id > given for write in event.writes)

    async def _records(self, end: int) -> AsyncIterator[ConsumerRecord]:
        if self._next >= end:
            return
        self._consumer.seek(self._partition, self._next)
        while await self._consumer.position(self._partition) < end:
            batches = await self._consumer.getmany(timeout_ms=ASK_MS)
            if not batches:
                raise StackError(
                    f"{Topic.WRITES} cannot be read any further", "look at Kafka, then try again"
                )
            for record in batches.get(self._partition, ()):
                if record.offset < end:
                    yield record

    async def _apply(self, writes: Iterable[tuple[int, str, str]]) -> None:
        """Put the rows of a group in place."""
        async with self._connection.transaction():
            for number, table, rows in sorted(writes):
                if number in self._seen:
                    continue
                self._seen.add(number)
                if number not in self._contained and table in self._tables:
                    await self._connection.execute(self._tables[table].upsert, rows)
                    self.statements += 1

    async def _pass_over(self, table: str, column: str, least: int) -> None:
        await self._connection.execute(
            f"SELECT setval(pg_get_serial_sequence($1, $2),"  # noqa: S608 - names from the catalogue
            f' greatest($3::bigint, (SELECT coalesce(max("{column}"), 0) FROM "{table}")) + {PASSED_OVER})',
            table,
            column,
            least,
        )


def _triggers(verb: str, table: str) -> str:
    return f'ALTER TABLE "{table}" {verb} TRIGGER keep_redo_insert, {verb} TRIGGER keep_redo_update'


def _tables(columns: Sequence[asyncpg.Record]) -> dict[str, Table]:
    by_table: dict[str, list[asyncpg.Record]] = {}
    for row in columns:
        by_table.setdefault(row["name"], []).append(row)
    return {name: _table(name, rows) for name, rows in by_table.items()}


def _table(name: str, rows: Sequence[asyncpg.Record]) -> Table:
    keys = ", ".join(f'"{row["column"]}"' for row in rows if row["key"])
    changed = ", ".join(f'"{row["column"]}" = EXCLUDED."{row["column"]}"' for row in rows if not row["key"])
    # A row that was written before a column was added says nothing of it.
    values = ", ".join(
        f'coalesce("{row["column"]}", {row["fallback"]})' if row["fallback"] else f'"{row["column"]}"'
        for row in rows
    )
    upsert = (
        f'INSERT INTO "{name}" OVERRIDING SYSTEM VALUE '  # noqa: S608 - names from the catalogue
        f'SELECT {values} FROM json_populate_recordset(NULL::"{name}", $1::json) '
        f"ON CONFLICT ({keys}) DO UPDATE SET {changed}"
    )
    return Table(upsert, next((row["column"] for row in rows if row["numbered"]), None))


def _event_of(record: ConsumerRecord, lineage: str) -> RowsWritten | None:
    """Read a record; None for one of another database's life, or one that is no event of this kind.

    Not by `decode`, which reads no records as large as these may be.
    """
    with contextlib.suppress(ValidationError, json.JSONDecodeError):
        event = RowsWritten.model_validate_json(record.value or b"", strict=True)
        return event if event.lineage == lineage else None
    return None
