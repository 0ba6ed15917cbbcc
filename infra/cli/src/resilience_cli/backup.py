"""Backups of the stock database: one file with its checksum, proved by restoring it before it counts as one.

A restore brings it up to date by replaying the log of writes.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import asyncpg

from resilience_runtime.kafka.access import KafkaAccess

from .backup_key import BackupKey, is_sealed
from .database import connected, dump, load, name_of, server, with_name
from .errors import StackError
from .replay import Replay

LOCK = 7_267_010
"""Advisory lock on the server, with a hash of the database's name: whoever makes a backup of it."""
_TABLES = """
    SELECT quote_ident(relname) FROM pg_class
    WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY relname
"""
# The books of inventory-api: what is on hand is the sum of its ledger.
_BOOKS = """
    SELECT count(*) FROM stock_levels l
    LEFT JOIN (SELECT level_id, sum(delta) AS total FROM ledger GROUP BY level_id) g ON g.level_id = l.id
    WHERE l.on_hand <> coalesce(g.total, 0)
"""
_CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()"


@dataclass(frozen=True, slots=True)
class Proof:
    """What a backup holds: rows by table, as counted in the restored copy; `sha256` of the file."""

    file: Path
    sha256: str
    rows: Mapping[str, int]


async def back_up(url: str, file: Path, key: BackupKey | None = None) -> Proof:
    """Write a backup, restore it into a scratch database, and compare every table's rows.

    Args:
        url: of the database.
        file: where to.
        key: encrypts it; what is proved is the encrypted file, and no other is written.

    Raises:
        StackError: another backup of it is being made, it could not be written, or what it restores is not what was
            dumped. No file is left then.
    """
    fresh = file.with_name(f".{file.name}.new")
    async with server(url) as maintenance:
        await _be_the_only_one(maintenance, name_of(url))
        try:
            _touch(fresh)
            expected = await _dump(url, fresh, key)
            async with _scratch(maintenance, url) as scratch:
                await load(scratch, _source(fresh, key))
                found = await _count(scratch)
            if found != expected:
                differing = ", ".join(name for name in expected if found.get(name) != expected[name])
                raise StackError(f"the backup does not restore what was dumped ({differing})", "run it again")
            return _keep(fresh, file, found)
        finally:
            fresh.unlink(missing_ok=True)


def _touch(file: Path) -> None:
    """Create a file for its owner alone; remove what killed ones left beside it."""
    try:
        for left in (file, *file.parent.glob(".stock-*.new*")):
            left.unlink(missing_ok=True)
        file.touch(mode=0o600)
    except OSError as error:
        raise StackError(f"{file.parent} takes no file ({error.strerror})", "name another place") from error


def _keep(fresh: Path, file: Path, rows: Mapping[str, int]) -> Proof:
    """Give a proved backup its name, and then its checksum, without which it does not count."""
    draft = sums_of(fresh)
    try:
        digest = _digest(fresh)
        draft.write_text(f"{digest}  {file.name}\n", encoding="ascii")
        fresh.replace(file)
        draft.replace(sums_of(file))
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise StackError(f"{file} cannot be written ({error.strerror})", "look at the disk") from error
    return Proof(file, digest, rows)


async def _be_the_only_one(maintenance: asyncpg.Connection, name: str) -> None:
    """Keep others from a backup of this database as long as the connection lasts; drop what a killed one left."""
    if not await maintenance.fetchval("SELECT pg_try_advisory_lock($1, hashtext($2))", LOCK, name):
        raise StackError(f"another backup of {name} is being made", "wait for it to end")
    for (other,) in await maintenance.fetch("SELECT datname FROM pg_database"):
        if re.fullmatch(rf"{re.escape(name)}_check_[0-9a-f]{{8}}", other):
            await maintenance.execute(f'DROP DATABASE "{other}" WITH (FORCE)')


@dataclass(frozen=True, slots=True)
class Restored:
    """What the backup held; the name that the old database has now, if there was one; statements replayed onto it."""

    proof: Proof
    old: str | None
    statements: int


async def restore(
    url: str, file: Path, kafka: KafkaAccess | str | None, key: BackupKey | None = None
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

    Raises:
        StackError: the file is not what its checksum says or does not open, the log has a gap, or the books do not
            balance. Nothing is changed then.
    """
    digest = check(file)
    source = _source(file, key)
    name = name_of(url)
    fresh = f"{name}_restored_{uuid.uuid4().hex[:8]}"
    async with server(url) as maintenance:
        await maintenance.execute(f'CREATE DATABASE "{fresh}"')
        try:
            beside = with_name(url, fresh)
            await load(beside, source)
            proof = Proof(file, digest, await _count(beside))
            await _check_books(beside)
            old, statements = await _take_the_place(maintenance, url, fresh, kafka)
        except BaseException:
            await maintenance.execute(f'DROP DATABASE IF EXISTS "{fresh}" WITH (FORCE)')
            raise
    return Restored(proof, old, statements)


async def _take_the_place(
    maintenance: asyncpg.Connection, url: str, fresh: str, kafka: KafkaAccess | str | None
) -> tuple[str | None, int]:
    if kafka is None:
        async with _set_aside(maintenance, url) as old:
            await maintenance.execute(f'ALTER DATABASE "{fresh}" RENAME TO "{name_of(url)}"')
        return old, 0
    async with connected(with_name(url, fresh)) as connection:
        replay = Replay(connection, KafkaAccess.of(kafka))
        async with replay:
            await replay.catch_up()
            async with _set_aside(maintenance, url) as old:
                await replay.catch_up()
                if old:
                    async with connected(with_name(url, old)) as former:
                        await replay.take_over(former)
                await replay.finish()
                await _check_books(with_name(url, fresh))
                await connection.close()
                await maintenance.execute(f'ALTER DATABASE "{fresh}" RENAME TO "{name_of(url)}"')
    return old, replay.statements


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


def check(file: Path) -> str:
    """Return the SHA-256 of a backup.

    Raises:
        StackError: it is not the one that was noted beside it.
    """
    try:
        noted = sums_of(file).read_text(encoding="ascii").split()[0]
        digest = _digest(file)
    except (OSError, UnicodeDecodeError, IndexError) as error:
        raise StackError(
            f"{file} or {sums_of(file)} cannot be read", "name a file that backup wrote"
        ) from error
    if digest != noted:
        raise StackError(f"{file} is not what its checksum says", "take another backup: this one is damaged")
    return digest


async def _dump(url: str, file: Path, key: BackupKey | None) -> dict[str, int]:
    """Dump one snapshot, and count the rows of the same one."""

    def keep(pipe: IO[bytes]) -> None:
        with file.open("wb") as target:
            if key:
                key.seal(pipe, target)
            else:
                shutil.copyfileobj(pipe, target)
            target.flush()
            os.fsync(target.fileno())

    async with (
        connected(url) as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        snapshot = await connection.fetchval("SELECT pg_export_snapshot()")
        await dump(url, keep, "--format=custom", "--no-owner", f"--snapshot={snapshot}")
        return await _rows(connection)


def _source(file: Path, key: BackupKey | None) -> Callable[[IO[bytes]], None]:
    """Return what gives a backup's content, decrypted if it is encrypted.

    Raises:
        StackError: it is encrypted, and no key is given.
    """
    if is_sealed(file) and key is None:
        raise StackError(f"{file} is encrypted", "name its key with --key")

    def give(pipe: IO[bytes]) -> None:
        with file.open("rb") as source:
            if key and is_sealed(file):
                key.open(source, pipe)
            else:
                shutil.copyfileobj(source, pipe)

    return give


async def _count(url: str) -> dict[str, int]:
    async with connected(url) as connection:
        return await _rows(connection)


async def _rows(connection: asyncpg.Connection) -> dict[str, int]:
    names = [row[0] for row in await connection.fetch(_TABLES)]
    return {name: await connection.fetchval(f"SELECT count(*) FROM {name}") for name in names}  # noqa: S608 - quoted by the server


async def _check_books(url: str) -> None:
    async with connected(url) as connection:
        if await connection.fetchval("SELECT to_regclass('ledger') IS NULL"):
            raise StackError("the backup is of another database", "name a backup of the stock database")
        wrong = await connection.fetchval(_BOOKS)
    if wrong:
        raise StackError(f"{wrong} stock levels are not the sum of their ledger", "take an earlier backup")


@asynccontextmanager
async def _scratch(maintenance: asyncpg.Connection, url: str) -> AsyncIterator[str]:
    name = f"{name_of(url)}_check_{uuid.uuid4().hex[:8]}"
    await maintenance.execute(f'CREATE DATABASE "{name}"')
    try:
        yield with_name(url, name)
    finally:
        await maintenance.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def sums_of(file: Path) -> Path:
    """Return where the checksum of a backup is."""
    return file.with_name(f"{file.name}.sha256")
