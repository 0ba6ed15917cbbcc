"""The four services, each a Python process."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from .loopback_http import ask
from .part import NotReadyError, Place
from .process import Command
from .sockets import LOOPBACK


@dataclass(frozen=True, slots=True)
class Service:
    """A service of ours.

    `env` is its whole configuration beyond the environment that the stack was started in. With `clock`, a file, its
    date and time are off by as many seconds as that says.
    """

    place: Place
    name: str
    port: int
    metrics_port: int
    env: Mapping[str, str]
    clock: Path | None = None
    stop_signal: signal.Signals = signal.SIGTERM

    @property
    def url(self) -> str:
        """Where its HTTP interface is."""
        return f"http://{LOOPBACK}:{self.port}"

    def prepare(self) -> Command:
        """Say how to start it."""
        state = self.place.root / "state" / self.name
        state.mkdir(parents=True, exist_ok=True)
        region = f"{self.env['RESILIENCE_SCOPE']}-" if "RESILIENCE_SCOPE" in self.env else ""
        own = {
            "HOST": LOOPBACK,
            "PORT": str(self.port),
            "METRICS_PORT": str(self.metrics_port),
            "INSTANCE": f"{region}{self.name}-1",
            "STATE_DIR": str(state),
            # Fewer arenas: freed memory goes back sooner, and a small process stays small.
            "MALLOC_ARENA_MAX": "2",
        }
        module = self.name.replace("-", "_")
        launcher = ("resilience_chaos.clock", str(self.clock)) if self.clock else ()
        argv = (sys.executable, "-m", *launcher, module)
        return Command(argv, env={**own, **self.env}, cwd=self.place.root)

    def talk(self) -> None:
        """Ask whether it is ready to do its work."""
        answer = ask(self.port, "/health/ready")
        if answer.status != HTTPStatus.OK:
            raise NotReadyError(f"not ready: {answer.text[:300]}")
