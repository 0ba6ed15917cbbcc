"""Backups of the stock database: one file with its checksum, proved by restoring it before it counts as one.

A restore brings it up to date by replaying the log of writes.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

import asyncpg

from resilience_runtime.kafka.access import KafkaAccess

from .errors import StackError
from .replay import Replay
from .stack.postgresql import binary

CONNECT_S = 5.0
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


async def back_up(url: str, file: Path) -> Proof:
    """Write a backup, restore it into a scratch database, and compare every table's rows.

    Raises:
        StackError: it could not be written, or what it restores is not what was dumped. No file is left then.
    """
    fresh = file.with_name(f".{file.name}.new")
    fresh.touch(mode=0o600)
    try:
        expected = await _dump(url, fresh)
        async with _scratch(url) as scratch:
            _run("pg_restore", scratch, "--exit-on-error", "--single-transaction", "--no-owner", str(fresh))
            found = await _count(scratch)
        if found != expected:
            differing = ", ".join(name for name in expected if found.get(name) != expected[name])
            raise StackError(f"the backup does not restore what was dumped ({differing})", "run it again")
        digest = _digest(fresh)
        fresh.replace(file)
    finally:
        fresh.unlink(missing_ok=True)
    _sums(file).write_text(f"{digest}  {file.name}\n", encoding="ascii")
    return Proof(file, digest, found)


@dataclass(frozen=True, slots=True)
class Restored:
    """What the backup held; the name that the old database has now, if there was one; statements replayed onto it."""

    proof: Proof
    old: str | None
    statements: int


async def restore(url: str, file: Path, kafka: KafkaAccess | str | None) -> Restored:
    """Replace a database by a backup and by what was written since.

    The backup is restored beside the database and brought up to date from Kafka; then the old database is closed,
    what came in meanwhile follows, and once the books balance the new one takes the name. Clients are without a
    database for that moment.

    Args:
        url: of the database; it need not exist.
        file: written by `back_up`.
        kafka: how to get in; None to go back to the time of the backup.

    Raises:
        StackError: the file is not what its checksum says, the log has a gap, or the books do not balance. Nothing
            is changed then.
    """
    digest = check(file)
    name = _name(url)
    fresh = f"{name}_restored_{uuid.uuid4().hex[:8]}"
    async with _server(url) as server:
        await server.execute(f'CREATE DATABASE "{fresh}"')
        try:
            beside = _with_name(url, fresh)
            _run("pg_restore", beside, "--exit-on-error", "--single-transaction", "--no-owner", str(file))
            proof = Proof(file, digest, await _count(beside))
            await _check_books(beside)
            old, statements = await _take_the_place(server, url, fresh, kafka)
        except BaseException:
            await server.execute(f'DROP DATABASE IF EXISTS "{fresh}" WITH (FORCE)')
            raise
    return Restored(proof, old, statements)


async def _take_the_place(
    server: asyncpg.Connection, url: str, fresh: str, kafka: KafkaAccess | str | None
) -> tuple[str | None, int]:
    if kafka is None:
        async with _set_aside(server, url) as old:
            await server.execute(f'ALTER DATABASE "{fresh}" RENAME TO "{_name(url)}"')
        return old, 0
    async with _connected(_with_name(url, fresh)) as connection:
        replay = Replay(connection, KafkaAccess.of(kafka))
        async with replay:
            await replay.catch_up()
            async with _set_aside(server, url) as old:
                await replay.catch_up()
                if old:
                    async with _connected(_with_name(url, old)) as former:
                        await replay.take_over(former)
                await replay.finish()
                await _check_books(_with_name(url, fresh))
                await connection.close()
                await server.execute(f'ALTER DATABASE "{fresh}" RENAME TO "{_name(url)}"')
    return old, replay.statements


@asynccontextmanager
async def _set_aside(server: asyncpg.Connection, url: str) -> AsyncIterator[str | None]:
    """Close a database to its clients under another name, if there is one; give it back when the block raises."""
    name = _name(url)
    if not await server.fetchval("SELECT true FROM pg_database WHERE datname = $1", name):
        yield None
        return
    old = f"{name}_before_{datetime.now(UTC):%Y%m%dT%H%M%S}"
    await server.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS false')
    await server.execute(_CUT, name)
    await server.execute(f'ALTER DATABASE "{name}" RENAME TO "{old}"')
    await server.execute(f'ALTER DATABASE "{old}" WITH ALLOW_CONNECTIONS true')
    try:
        yield old
    except BaseException:
        await server.execute(f'ALTER DATABASE "{old}" RENAME TO "{name}"')
        raise


def check(file: Path) -> str:
    """Return the SHA-256 of a backup.

    Raises:
        StackError: it is not the one that was noted beside it.
    """
    try:
        noted = _sums(file).read_text(encoding="ascii").split()[0]
        digest = _digest(file)
    except (OSError, UnicodeDecodeError, IndexError) as error:
        raise StackError(
            f"{file} or {_sums(file)} cannot be read", "name a file that backup wrote"
        ) from error
    if digest != noted:
        raise StackError(f"{file} is not what its checksum says", "take another backup: this one is damaged")
    return digest


async def _dump(url: str, file: Path) -> dict[str, int]:
    """Dump one snapshot, and count the rows of the same one."""
    async with (
        _connected(url) as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        snapshot = await connection.fetchval("SELECT pg_export_snapshot()")
        _run("pg_dump", url, "--format=custom", "--no-owner", f"--snapshot={snapshot}", f"--file={file}")
        return await _rows(connection)


async def _count(url: str) -> dict[str, int]:
    async with _connected(url) as connection:
        return await _rows(connection)


async def _rows(connection: asyncpg.Connection) -> dict[str, int]:
    names = [row[0] for row in await connection.fetch(_TABLES)]
    return {name: await connection.fetchval(f"SELECT count(*) FROM {name}") for name in names}  # noqa: S608 - quoted by the server


async def _check_books(url: str) -> None:
    async with _connected(url) as connection:
        if await connection.fetchval("SELECT to_regclass('ledger') IS NULL"):
            raise StackError("the backup is of another database", "name a backup of the stock database")
        wrong = await connection.fetchval(_BOOKS)
    if wrong:
        raise StackError(f"{wrong} stock levels are not the sum of their ledger", "take an earlier backup")


@asynccontextmanager
async def _scratch(url: str) -> AsyncIterator[str]:
    name = f"backup_check_{uuid.uuid4().hex[:8]}"
    async with _server(url) as server:
        await server.execute(f'CREATE DATABASE "{name}"')
        try:
            yield _with_name(url, name)
        finally:
            await server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    try:
        connection = await asyncpg.connect(url, timeout=CONNECT_S)
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise StackError(
            f"the database does not answer ({type(error).__name__})", "start it, or set DATABASE_URL"
        ) from error
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def _server(url: str) -> AsyncIterator[asyncpg.Connection]:
    async with _connected(_with_name(url, "postgres")) as connection:
        yield connection


def _run(program: str, url: str, *arguments: str) -> None:
    """Run a program of PostgreSQL on a database; the password goes by the environment, where no list shows it."""
    parts = urlsplit(url)
    plain = parts._replace(netloc=parts.netloc.replace(f":{parts.password}@", "@"))
    env = {**os.environ, "PGPASSWORD": unquote(parts.password or "")}
    argv = [str(binary(program)), f"--dbname={urlunsplit(plain)}", *arguments]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it wrote nothing"])[-1]
        raise StackError(f"{program} failed ({said[:300]})", "look at the file and at the database's log")


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _sums(file: Path) -> Path:
    return file.with_name(f"{file.name}.sha256")


def _name(url: str) -> str:
    return unquote(urlsplit(url).path.removeprefix("/"))


def _with_name(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
