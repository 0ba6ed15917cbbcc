"""The stock database from outside: connections, and PostgreSQL's own programs on it.

The programs of the stack are built without TLS, so they reach the server through a socket of this process, which
speaks to it as asyncpg does: one meaning of `sslmode`, `sslrootcert` and PGPASSFILE for both.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO, Any
from urllib.parse import unquote, urlsplit, urlunsplit

import asyncpg

from .errors import StackError
from .stack.postgresql import binary

CONNECT_S = 5.0
LOCAL = "synchronous_commit=local"
"""A standby that is away must not stop those who make backups, and restores."""
TLS_REQUEST = bytes.fromhex("0000000804d2162f")
CHUNK = 256 * 1024
WIDE_OPEN = 2  # of asyncpg's SSLMode: up to `prefer`, a server without TLS will do

Pump = Callable[[IO[bytes]], None]


@asynccontextmanager
async def connected(
    url: str, what: str = "the database", remedy: str = "start it, or correct DATABASE_URL"
) -> AsyncIterator[asyncpg.Connection]:
    """Connect; `what` and `remedy` are for the error when it does not answer.

    Raises:
        StackError: the server does not let us in, or refuses or goes away meanwhile.
    """
    try:
        connection = await asyncpg.connect(url, timeout=CONNECT_S)
    except (OSError, TimeoutError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise StackError(f"{what} does not answer ({_said(error)})", remedy) from error
    try:
        await connection.execute(f"SET {LOCAL}")
        yield connection
    except (asyncpg.PostgresError, asyncpg.InterfaceError, ConnectionError) as error:
        raise StackError(
            f"{what} refused, or went away ({_said(error)})", "look at its log, then try again"
        ) from error
    finally:
        with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
            await connection.close(timeout=CONNECT_S)


def server(url: str) -> AbstractAsyncContextManager[asyncpg.Connection]:
    """Connect to the database `postgres` of a server, where others are made and renamed."""
    return connected(with_name(url, "postgres"))


def name_of(url: str) -> str:
    """Return the name of the database in an address."""
    return unquote(urlsplit(url).path.removeprefix("/"))


def with_name(url: str, name: str) -> str:
    """Return the address of another database of the same server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


async def dump(url: str, pump: Pump, *arguments: str) -> None:
    """Run pg_dump on a database; `pump` takes what it writes, in a thread.

    Raises:
        StackError: it failed, or `pump` did.
    """
    await _run("pg_dump", url, pump, *arguments)


async def load(url: str, pump: Pump) -> None:
    """Run pg_restore into an empty database, in one transaction; `pump` gives what it reads, in a thread.

    Raises:
        StackError: it failed, or `pump` did; the database is empty then.
    """
    arguments = ("--exit-on-error", "--single-transaction", "--no-owner", f"--dbname={name_of(url)}")
    await _run("pg_restore", url, pump, *arguments)


async def _run(name: str, url: str, pump: Pump, *arguments: str) -> None:
    reads = name == "pg_restore"
    async with connected(url) as connection, _way_to(connection) as way:
        argv = [str(binary(name)), "--no-password", *arguments]
        with TemporaryFile() as said:
            process = subprocess.Popen(  # noqa: ASYNC220 - its pipes are read in a thread, as pyrage does by itself
                argv,
                env=_environment(way),
                stdin=subprocess.PIPE if reads else subprocess.DEVNULL,
                stdout=subprocess.DEVNULL if reads else subprocess.PIPE,
                stderr=said,
            )
            try:
                fault = await asyncio.to_thread(_pumped, process, pump)
                if fault:
                    raise fault
            finally:
                process.kill()
                await asyncio.shield(asyncio.to_thread(process.wait))
            if process.returncode:
                raise _failure(name, said)


def _pumped(process: subprocess.Popen[bytes], pump: Pump) -> StackError | None:
    """Move the bytes; return why that failed, unless the program itself ended first and tells why."""
    pipe = process.stdin or process.stdout
    assert pipe  # noqa: S101 - one of the two was asked for
    fault: StackError | None = None
    with suppress(OSError), pipe:  # closing writes what is left, to a program that may have ended
        try:
            pump(pipe)
        except StackError as error:
            fault = error
        except BrokenPipeError:
            pass
        except OSError as error:
            fault = StackError(f"the file cannot be read or written ({error.strerror})", "look at the disk")
        if fault:
            process.kill()  # before the pipe closes: what was cut off must not look like its end
    if fault is None:
        process.wait()
    return fault


def _failure(name: str, said: IO[bytes]) -> StackError:
    said.seek(0)
    lines = said.read().decode(errors="replace").strip().splitlines() or ["it wrote nothing"]
    return StackError(f"{name} failed ({lines[-1][:300]})", "look at the file and at the database's log")


@dataclass(frozen=True, slots=True)
class _Way:
    """How a program without TLS gets to a database."""

    host: str
    port: int
    user: str
    password: str | None
    database: str


def _environment(way: _Way) -> Mapping[str, str]:
    """Return what a program is told; by the environment, since everybody may read its arguments."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    told = {"PGHOST": way.host, "PGPORT": str(way.port), "PGUSER": way.user, "PGDATABASE": way.database}
    secret = {} if way.password is None else {"PGPASSWORD": way.password}
    return {**others, **told, **secret, "PGSSLMODE": "disable", "PGOPTIONS": f"-c {LOCAL}"}


@asynccontextmanager
async def _way_to(connection: asyncpg.Connection) -> AsyncIterator[_Way]:
    """Open a way to where a connection leads, by what asyncpg made of address, environment and password file."""
    address: Any = connection._addr  # type: ignore[attr-defined] # noqa: SLF001 - asyncpg has no public name for what it read
    read: Any = connection._params  # type: ignore[attr-defined] # noqa: SLF001 - as above
    if isinstance(address, str):
        folder, port = os.path.dirname(address), int(address.rpartition(".")[2])  # noqa: PTH120 - kept as it was given
        yield _Way(folder, port, read.user, read.password, read.database)
    elif read.ssl is None:
        yield _Way(address[0], address[1], read.user, read.password, read.database)
    else:
        with TemporaryDirectory(prefix="resilience-") as folder:  # for its owner alone
            host, port = address
            bridge = _Bridge(host, port, read.ssl, must=read.sslmode > WIDE_OPEN)
            async with await asyncio.start_unix_server(bridge.handle, Path(folder) / ".s.PGSQL.5432"):
                try:
                    yield _Way(folder, 5432, read.user, read.password, read.database)
                finally:
                    await bridge.close()


class _Bridge:
    """Hands on what comes in the clear by a socket to a server by TLS."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext, *, must: bool) -> None:
        self._host, self._port, self._context, self._must = host, port, context, must
        self._tasks: set[asyncio.Task[Any]] = set()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client until either side ends."""
        task = asyncio.current_task()
        assert task  # noqa: S101 - a coroutine of a running loop
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            behind, into = await asyncio.open_connection(self._host, self._port)
            try:
                await self._secure(behind, into)
                await _join((reader, into), (behind, writer))
            finally:
                into.close()
        writer.close()

    async def _secure(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(TLS_REQUEST)
        answer = await reader.read(2)
        if len(answer) != 1:
            # Whatever is behind the answer came in the clear, from anybody, and would be taken for what TLS protects.
            raise ConnectionError("the server hung up, or said more than one byte before TLS")
        if answer == b"S":
            await writer.start_tls(self._context, server_hostname=self._host)
        elif self._must:
            raise ConnectionError("the server speaks no TLS")

    async def close(self) -> None:
        """Hang up on everybody."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _join(*ways: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
    """Pour each way until one of them ends."""
    pouring = [asyncio.ensure_future(_pour(*way)) for way in ways]
    try:
        await asyncio.wait(pouring, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in pouring:
            each.cancel()
        await asyncio.gather(*pouring, return_exceptions=True)


async def _pour(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(CHUNK):
        sink.write(data)
        await sink.drain()


def _said(error: BaseException) -> str:
    """Name an error, with its words where no part of an address can be in them."""
    telling = isinstance(error, OSError | asyncpg.PostgresError | asyncpg.InterfaceError)
    words = (str(error).splitlines() or [""])[0][:160] if telling else ""
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
