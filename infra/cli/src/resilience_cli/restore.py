"""A restore: a backup beside the database, brought up to date by the log of writes, and then in its place."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import asyncpg

from resilience_runtime.kafka.access import KafkaAccess

from .backup import Proof, check, count_rows, source_of
from .backup_key import BackupKey
from .database import connected, load, name_of, server, with_name
from .errors import StackError
from .replay import Replay

# The books of inventory-api: what is on hand is the sum of its ledger.
_BOOKS = """
    SELECT count(*) FROM stock_levels l
    LEFT JOIN (SELECT level_id, sum(delta) AS total FROM ledger GROUP BY level_id) g ON g.level_id = l.id
    WHERE l.on_hand <> coalesce(g.total, 0)
"""
WITHOUT = "start it, or do without what only it has: --no-standby"
REPLAYED_S, LOOK_S = 30.0, 0.1
# What its recovery waits in once it has replayed all there is; the last record may have come in part, and never will be.
_REPLAYED = """
    SELECT NOT pg_is_in_recovery() OR EXISTS (
        SELECT FROM pg_stat_activity
        WHERE backend_type = 'startup' AND wait_event IN ('RecoveryWalStream', 'RecoveryRetrieveRetryInterval'))
"""
_CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()"


@dataclass(frozen=True, slots=True)
class Restored:
    """What the backup held; the name that the old database has now, if there was one; statements replayed onto it."""

    proof: Proof
    old: str | None
    statements: int


async def restore(
    url: str,
    file: Path,
    kafka: KafkaAccess | str | None,
    key: BackupKey | None = None,
    standby: str | None = None,
) -> Restored:
    """Replace a database by a backup and by what was written since.

    The backup is restored beside the database and brought up to date from Kafka; then the old database is closed,
    what came in meanwhile follows, and once the books balance the new one takes the name. Clients are without a
    database for that moment.

    Args:
        url: of the database; it need not exist.
        file: written by `back_up`.
        kafka: how to get in; None to go back to the time of the backup.
        key: the one that it was encrypted with, if it was.
        standby: address of a server that followed the lost one and has what that had not published.

    Raises:
        StackError: the file is not what its checksum says or does not open, the log has a gap, the standby does not
            answer, or the books do not balance. Nothing is changed then.
    """
    digest = check(file)
    source = source_of(file, key)
    name = name_of(url)
    fresh = f"{name}_restored_{uuid.uuid4().hex[:8]}"
    async with server(url) as maintenance:
        await maintenance.execute(f'CREATE DATABASE "{fresh}"')
        try:
            beside = with_name(url, fresh)
            await load(beside, source)
            proof = Proof(file, digest, await count_rows(beside))
            await _check_books(beside)
            old, statements = await _take_the_place(maintenance, url, fresh, kafka, standby)
        except BaseException:
            await maintenance.execute(f'DROP DATABASE IF EXISTS "{fresh}" WITH (FORCE)')
            raise
    return Restored(proof, old, statements)


async def _take_the_place(
    maintenance: asyncpg.Connection,
    url: str,
    fresh: str,
    kafka: KafkaAccess | str | None,
    standby: str | None,
) -> tuple[str | None, int]:
    if kafka is None:
        async with _set_aside(maintenance, url) as old:
            await maintenance.execute(f'ALTER DATABASE "{fresh}" RENAME TO "{name_of(url)}"')
        return old, 0
    async with connected(with_name(url, fresh)) as connection:
        replay = Replay(connection, KafkaAccess.of(kafka))
        async with replay, _ahead(standby) as follower:
            await replay.catch_up()
            async with _set_aside(maintenance, url) as old:
                await replay.catch_up()
                if old:
                    async with connected(with_name(url, old)) as former:
                        await replay.take_over(former)
                if follower:
                    await replay.take_over(follower)
                await replay.finish()
                await _check_books(with_name(url, fresh))
                await connection.close()
                await maintenance.execute(f'ALTER DATABASE "{fresh}" RENAME TO "{name_of(url)}"')
    return old, replay.statements


@asynccontextmanager
async def _ahead(standby: str | None) -> AsyncIterator[asyncpg.Connection | None]:
    """Connect to a standby that shows all it has, if there is one: before anybody is without a database."""
    if standby is None:
        yield None
        return
    async with connected(standby, "the standby", WITHOUT) as follower:
        await _await_replayed(follower)
        yield follower


async def _await_replayed(follower: asyncpg.Connection) -> None:
    """Wait until a standby shows all that it has received; one that was promoted shows it."""
    for _ in range(round(REPLAYED_S / LOOK_S)):
        if await follower.fetchval(_REPLAYED):
            return
        await asyncio.sleep(LOOK_S)
    raise StackError(
        f"the standby has not replayed its log after {REPLAYED_S:g} s",
        "look at its log, and read it by a member of pg_monitor",
    )


@asynccontextmanager
async def _set_aside(maintenance: asyncpg.Connection, url: str) -> AsyncIterator[str | None]:
    """Close a database to its clients under another name, if there is one; give it back when the block raises."""
    name = name_of(url)
    if not await maintenance.fetchval("SELECT true FROM pg_database WHERE datname = $1", name):
        yield None
        return
    old = f"{name}_before_{datetime.now(UTC):%Y%m%dT%H%M%S}"
    now = name
    try:
        await maintenance.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS false')
        await maintenance.execute(_CUT, name)
        await maintenance.execute(f'ALTER DATABASE "{name}" RENAME TO "{old}"')
        now = old
        await maintenance.execute(f'ALTER DATABASE "{old}" WITH ALLOW_CONNECTIONS true')
        yield old
    except BaseException:
        if now == old:
            await maintenance.execute(f'ALTER DATABASE "{old}" RENAME TO "{name}"')
        await maintenance.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS true')
        raise


async def _check_books(url: str) -> None:
    async with connected(url) as connection:
        if await connection.fetchval("SELECT to_regclass('ledger') IS NULL"):
            raise StackError("the backup is of another database", "name a backup of the stock database")
        wrong = await connection.fetchval(_BOOKS)
    if wrong:
        raise StackError(f"{wrong} stock levels are not the sum of their ledger", "take an earlier backup")
