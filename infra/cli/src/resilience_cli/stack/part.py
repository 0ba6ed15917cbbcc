"""What the stack knows of each thing it starts."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .process import Command


class NotReadyError(Exception):
    """It does not answer yet."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a stack keeps everything, and under which names."""

    root: Path

    def data(self, part: str) -> Path:
        """Return the directory of a part's data."""
        return self.root / part

    def log(self, part: str) -> Path:
        """Return the file of a part's output."""
        return self.root / "logs" / f"{part}.log"

    def secret(self, name: str) -> Path:
        """Return the file of a generated secret."""
        return self.root / "keys" / name


class Part(Protocol):
    """A process of the stack that listens on one port."""

    @property
    def name(self) -> str:
        """What the command line calls it."""

    @property
    def port(self) -> int:
        """Where it listens on 127.0.0.1."""

    @property
    def stop_signal(self) -> signal.Signals:
        """What makes it end in order."""

    def prepare(self) -> Command:
        """Write its configuration, create its data when there is none, and say how to start it.

        Blocks for as long as that takes.

        Raises:
            StackError: it cannot be prepared; the remedy is in the message.
        """

    def talk(self) -> None:
        """Use it once, as its users do. Blocks for at most about two seconds.

        Raises:
            NotReadyError: it does not answer properly yet.
        """
