"""Backups of the stock database: one file with its checksum, proved by restoring it before it counts as one."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import asyncpg

from .backup_key import BackupKey, is_sealed
from .database import connected, dump, load, name_of, server, with_name
from .errors import StackError

LOCK = 7_267_010
"""Advisory lock on the server, with a hash of the database's name: whoever makes a backup of it."""
_TABLES = """
    SELECT quote_ident(relname) FROM pg_class
    WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY relname
"""


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
    fresh = draft_of(url, file)
    async with server(url) as maintenance:
        await _be_the_only_one(maintenance, name_of(url))
        try:
            _touch(fresh)
            expected = await _dump(url, fresh, key)
            async with _scratch(maintenance, url) as scratch:
                await load(scratch, source_of(fresh, key))
                found = await count_rows(scratch)
            if found != expected:
                differing = ", ".join(name for name in expected if found.get(name) != expected[name])
                raise StackError(f"the backup does not restore what was dumped ({differing})", "run it again")
            return _keep(fresh, file, found)
        finally:
            fresh.unlink(missing_ok=True)


def draft_of(url: str, file: Path) -> Path:
    """Return where a backup is written until it is proved; the name tells whose it is, for others in the folder."""
    server_and_name = f"{urlsplit(url).netloc.rpartition('@')[2]}/{name_of(url)}"
    return file.with_name(f".{file.name}.{hashlib.sha256(server_and_name.encode()).hexdigest()[:8]}.new")


def _touch(draft: Path) -> None:
    """Create a file for its owner alone; remove what killed backups of the same database left beside it."""
    ours = draft.suffixes[-2]
    try:
        for left in (draft, *draft.parent.glob(f".stock-*{ours}.new*")):
            left.unlink(missing_ok=True)
        draft.touch(mode=0o600)
    except OSError as error:
        raise StackError(f"{draft.parent} takes no file ({error.strerror})", "name another place") from error


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


def source_of(file: Path, key: BackupKey | None) -> Callable[[IO[bytes]], None]:
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


async def count_rows(url: str) -> dict[str, int]:
    """Return how many rows each table has."""
    async with connected(url) as connection:
        return await _rows(connection)


async def _rows(connection: asyncpg.Connection) -> dict[str, int]:
    names = [row[0] for row in await connection.fetch(_TABLES)]
    return {name: await connection.fetchval(f"SELECT count(*) FROM {name}") for name in names}  # noqa: S608 - quoted by the server


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
