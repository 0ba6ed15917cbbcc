"""A second PostgreSQL that follows the first one; once it does, no commit is answered that is not on both disks."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import asyncpg

from resilience_cli.apart import run_apart
from resilience_cli.errors import StackError

from .part import NotReadyError
from .postgresql import DATABASE, USER, PostgreSQL, binary, fault_of, run_as
from .process import Command
from .sockets import LOOPBACK

STANDBY = "postgresql-standby"
FOLLOWER = "standby"
"""What the first server calls it."""
CONNECT_S = 2.0
_FOLLOWS = "SELECT true FROM pg_stat_replication WHERE application_name = $1 AND state = 'streaming'"
_IDENTITY = "SELECT system_identifier FROM pg_control_system()"
# Set in the data of the first server and not by its command line: an empty one that takes its place waits for nobody.
_WAITED_FOR = (
    f"ALTER SYSTEM SET synchronous_standby_names = '{FOLLOWER}'",
    "ALTER SYSTEM SET wal_keep_size = '256MB'",
    "SELECT pg_reload_conf()",
)


@dataclass(frozen=True, slots=True)
class Standby(PostgreSQL):
    """The server that follows; it can be read, and is not written."""

    name: str = STANDBY
    primary_port: int = 0

    def prepare(self) -> Command:
        """Copy the first server's data once; say how to follow it from there."""
        command = PostgreSQL.prepare(self)
        way = f"{self._way(command.user)} application_name={FOLLOWER}"
        return replace(command, argv=(*command.argv, f"--primary_conninfo={way}"))

    def talk(self) -> None:
        """See it follow, and let commits wait for it from then on.

        A copy of a database that is not there any more follows nothing, and stays readable for `resilience restore`.
        """
        try:
            run_apart(self._join())
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            raise NotReadyError(str(error) or type(error).__name__) from error

    async def _join(self) -> None:
        here = await asyncpg.connect(self.url, timeout=CONNECT_S, command_timeout=CONNECT_S)
        try:
            identity = await here.fetchval(_IDENTITY)
        finally:
            await here.close()
        primary = PostgreSQL(self.place, self.primary_port).url
        first = await asyncpg.connect(primary, timeout=CONNECT_S, command_timeout=CONNECT_S)
        try:
            if await first.fetchval(_IDENTITY) != identity:
                return
            if not await first.fetchval(_FOLLOWS, FOLLOWER):
                raise NotReadyError(
                    f"it does not follow yet; away for too long, it is made anew without {self._data.parent}"
                )
            for statement in _WAITED_FOR:
                await first.execute(statement)
        finally:
            await first.close()

    def _initialise(self, user: str | None) -> None:
        fresh = self._data.with_name("data.new")
        shutil.rmtree(fresh, ignore_errors=True)
        way = f"{self._way(user)} dbname={DATABASE}"
        argv = [
            str(binary("pg_basebackup")),
            "--no-password",
            "--checkpoint=fast",
            "-d",
            way,
            "-D",
            str(fresh),
        ]
        copied = run_as(argv, user, self._data.parent)
        if copied.returncode:
            raise StackError(
                f"PostgreSQL's data cannot be copied ({fault_of(copied.stderr)})",
                f"look at {self._data.parent}",
            )
        (fresh / "standby.signal").touch()
        # What was set for the copied server is not for this one.
        (fresh / "postgresql.auto.conf").write_text("", encoding="ascii")
        fresh.rename(self._data)

    def _way(self, user: str | None) -> str:
        """Say how to get to the first server; the password is in a file, as everybody may read arguments."""
        return (
            f"host={LOOPBACK} port={self.primary_port} user={USER} passfile={_quoted(self._passfile(user))}"
        )

    def _passfile(self, user: str | None) -> Path:
        file = self._data.with_name("passfile")
        file.touch(mode=0o600)
        file.write_text(f"{LOOPBACK}:*:*:{USER}:{self._password()}\n", encoding="ascii")
        if user:
            shutil.chown(file, user, user)
        return file


def _quoted(path: Path) -> str:
    """Write a path as libpq reads values."""
    escaped = str(path).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
