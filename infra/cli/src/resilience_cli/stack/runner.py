"""Start one part, wait until it really answers, stop it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from resilience_cli.errors import StackError
from resilience_cli.logline import brief, gist, telling

from .part import NotReadyError, Part, Place
from .process import ProcessRef, kill, launch, stop
from .sockets import is_free

POLL_S = 0.1
EVIDENCE_LINES = 20
STOP_GRACE_S = 5.0


@dataclass(slots=True)
class Running:
    """A part with the process that runs it."""

    part: Part
    process: subprocess.Popen[bytes]
    ref: ProcessRef
    log: Path
    log_start: int
    data: Path

    def has_ended(self) -> bool:
        """Tell whether the process is gone, and bury it."""
        return self.process.poll() is not None

    def last_words(self, lines: int) -> list[str]:
        """Return the last lines that this process wrote."""
        return tail_of(self.log, lines, self.log_start)


def start(part: Part, place: Place, variable: str) -> Running:
    """Prepare a part and start its process; do not wait for it.

    Args:
        part: what to start.
        place: where its log goes.
        variable: the environment variable that moves it to another port.

    Raises:
        StackError: its port is taken, or it cannot be prepared.
    """
    require_free(part.port, variable)
    command = part.prepare()
    log = place.log(part.name)
    log_start = log.stat().st_size if log.exists() else 0
    process = launch(command, log, place.root, part.name)
    log_start = min(log_start, log.stat().st_size)
    return Running(part, process, ProcessRef.of(process.pid), log, log_start, place.data(part.name))


def await_ready(running: Running, timeout_s: float, cancelled: Callable[[], bool] = lambda: False) -> None:
    """Return as soon as a part answers as it should.

    Raises:
        StackError: it ended, or did not answer in time, or waiting was cancelled.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            running.part.talk()
        except NotReadyError as reason:
            _give_up_when_hopeless(running, deadline, timeout_s, reason)
        else:
            return
        if cancelled():
            raise StackError(f"{running.part.name} was stopped while starting", "start it again")
        time.sleep(POLL_S)


def halt(running: Running, grace_s: float = STOP_GRACE_S) -> None:
    """End a part in order, or by force after `grace_s`."""
    stop({running.ref: running.part.stop_signal}, grace_s)
    running.process.wait()


def destroy(running: Running) -> None:
    """Kill a part with all its children."""
    process = running.ref.find()
    if process:
        kill(process)
    running.process.wait()


def require_free(port: int, variable: str) -> None:
    """Check that a port can be used.

    Raises:
        StackError: something listens there; names it when it can be found.
    """
    if not is_free(port):
        raise StackError(
            f"port {port} is in use{_listener(port)}", f"stop that, or set {variable} to another port"
        )


def tail_of(log: Path, lines: int, start: int = 0) -> list[str]:
    """Return the last lines of a log, none from before byte `start`."""
    with suppress(OSError), log.open("rb") as file:
        end = file.seek(0, 2)
        file.seek(max(start, end - 64 * 1024))
        text = file.read().decode(errors="replace")
        return [line for line in text.splitlines() if line.strip()][-lines:]
    return []


def _give_up_when_hopeless(
    running: Running, deadline: float, timeout_s: float, reason: NotReadyError
) -> None:
    words = brief(running.last_words(EVIDENCE_LINES))
    remedy = f"read {running.log}; if it says that files are damaged, move {running.data} away"
    if running.has_ended():
        code = running.process.returncode
        said = telling(words)
        raise StackError(f"{running.part.name} ended while starting (exit {code}; {said})", remedy, words)
    if time.monotonic() > deadline:
        said = gist(str(reason))
        raise StackError(f"{running.part.name} is not ready after {timeout_s:g} s ({said})", remedy, words)


def _listener(port: int) -> str:
    with suppress(psutil.Error):
        for each in psutil.net_connections("tcp"):
            if each.laddr and each.laddr.port == port and each.pid and each.status == psutil.CONN_LISTEN:
                return f" by {psutil.Process(each.pid).name()} (pid {each.pid})"
    return ""
