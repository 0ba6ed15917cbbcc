"""What the parts write, on the terminal: each line with the name of its part before it."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path

from rich.text import Text

from .console import err
from .logline import readable
from .stack import PARTS, Place

POLL_S = 0.3
COLOURS = ("cyan", "magenta", "blue", "yellow", "green")


def print_tail(part: str, lines: Iterable[str]) -> None:
    """Print lines of a part's log."""
    colour = COLOURS[PARTS.index(part) % len(COLOURS)] if part in PARTS else "white"
    for line in lines:
        for shown in readable(line):
            err.print(Text.assemble((f"{part:>18} | ", colour), shown), soft_wrap=True)


class LogFollower:
    """Prints what is added to every log from now on, until closed."""

    def __init__(self, place: Place) -> None:
        self._logs = {part: place.log(part) for part in PARTS}
        self._seen = {part: _size(log) for part, log in self._logs.items()}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Print what is left and end."""
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closing.wait(POLL_S):
            self._catch_up()
        self._catch_up()

    def _catch_up(self) -> None:
        for part, log in self._logs.items():
            size = _size(log)
            if size < self._seen[part]:
                self._seen[part] = 0
            if size > self._seen[part]:
                with log.open("rb") as file:
                    file.seek(self._seen[part])
                    added = file.read(size - self._seen[part])
                self._seen[part] = size
                print_tail(part, added.decode(errors="replace").splitlines())


def _size(log: Path) -> int:
    return log.stat().st_size if log.exists() else 0
