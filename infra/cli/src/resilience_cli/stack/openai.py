"""Our stand-in for OpenAI."""

from __future__ import annotations

import signal
import sys
from dataclasses import dataclass
from http import HTTPStatus

from .loopback_http import ask
from .part import NotReadyError, Place
from .process import Command
from .sockets import LOOPBACK

API_KEY = "stand-in"
MODEL = "gpt-4o-mini"


@dataclass(frozen=True, slots=True)
class OpenAI:
    """The stand-in's process."""

    place: Place
    port: int
    name: str = "openai"
    stop_signal: signal.Signals = signal.SIGTERM

    @property
    def base_url(self) -> str:
        """Where clients of the API connect."""
        return f"{self.control_url.removesuffix('/control')}/v1"

    @property
    def control_url(self) -> str:
        """Where it is told to be slow, to refuse and to fail."""
        return f"http://{LOOPBACK}:{self.port}/control"

    def prepare(self) -> Command:
        """Say how to start it."""
        argv = (sys.executable, "-m", "resilience_cli.openai_standin", "--port", str(self.port))
        return Command(argv, cwd=self.place.root)

    def talk(self) -> None:
        """Read its orders: that is never refused, even when it was told to fail."""
        answer = ask(self.port, "/control")
        if answer.status != HTTPStatus.OK:
            raise NotReadyError(f"/control answers {answer.status}")
