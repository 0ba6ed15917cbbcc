"""Processes of the stack: started apart, recognised after a restart, frozen and stopped whole."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

CREATE_TIME_TOLERANCE_S = 1.0
LOG_LIMIT_BYTES = 10 * 1024 * 1024
# Tells the processes of a stack from everything else on the machine, should the stack's own list be lost.
OWNER_VARIABLE = "RESILIENCE_PART_OF"
NAME_VARIABLE = "RESILIENCE_PART"
# These write their title over their environment; each runs in a directory of its stack.
TITLE_WRITERS = frozenset({"postgres", "valkey-server", "redis-server"})


@dataclass(frozen=True, slots=True)
class Command:
    """How a part is started.

    `user` is another user of the machine to run as; None keeps ours.
    """

    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    user: str | None = None


@dataclass(frozen=True, slots=True)
class ProcessRef:
    """A process by its id and start, so that a recycled id is never taken for it."""

    pid: int
    create_time: float

    @classmethod
    def of(cls, pid: int) -> ProcessRef:
        """Describe a running process.

        Raises:
            psutil.NoSuchProcess: it is gone.
        """
        return cls(pid, psutil.Process(pid).create_time())

    def find(self) -> psutil.Process | None:
        """Return the process while it runs; a zombie no longer does."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.create_time) <= CREATE_TIME_TOLERANCE_S
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


def launch(command: Command, log: Path, owner: Path, name: str) -> subprocess.Popen[bytes]:
    """Start a command in a session of its own, its output added to `log`.

    Its environment says whose it is and what it is called, for `owned_by` and `name_of`.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > LOG_LIMIT_BYTES:
        log.replace(log.with_suffix(".log.1"))
    with log.open("ab") as output:
        return subprocess.Popen(
            command.argv,
            env={**os.environ, **command.env, OWNER_VARIABLE: str(owner), NAME_VARIABLE: name},
            cwd=command.cwd,
            user=command.user,
            group=command.user,
            extra_groups=[] if command.user else None,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def owned_by(owner: Path) -> list[psutil.Process]:
    """Find the processes that were launched for an owner and have no parent among them."""
    found = {process.pid: process for process in psutil.process_iter() if _is_owned(process, owner)}
    return [process for process in found.values() if _parent(process) not in found]


def name_of(process: psutil.Process) -> str:
    """Return what a launched process is called, or what it calls itself."""
    with suppress(psutil.Error, OSError):
        return process.environ().get(NAME_VARIABLE) or process.name()
    return str(process.pid)


def _is_owned(process: psutil.Process, owner: Path) -> bool:
    with suppress(psutil.Error, OSError):
        if process.name() in TITLE_WRITERS:
            return Path(process.cwd()).is_relative_to(owner)
        return process.environ().get(OWNER_VARIABLE) == str(owner)
    return False


def _parent(process: psutil.Process) -> int | None:
    with suppress(psutil.Error):
        return process.ppid()
    return None


def tree(process: psutil.Process) -> list[psutil.Process]:
    """Return a process and everything it started, itself first."""
    with suppress(psutil.NoSuchProcess):
        return [process, *process.children(recursive=True)]
    return []


def send(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    """Send a signal to each that is still there."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def freeze(process: psutil.Process, timeout_s: float = 5) -> None:
    """Stop a process and all its children where they are; return when each is stopped.

    The parent goes first, so that no new child escapes.

    Raises:
        TimeoutError: one did not stop.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        members = tree(process)
        send(members, signal.SIGSTOP)
        # A child that ended just before stays a zombie, as its frozen parent does not take note of it.
        if all(_status(member) in {psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE, None} for member in members):
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"process {process.pid} did not stop within {timeout_s} s")
        time.sleep(0.02)


def thaw(process: psutil.Process) -> None:
    """Let a frozen process and its children go on."""
    send(list(reversed(tree(process))), signal.SIGCONT)


def kill(process: psutil.Process, timeout_s: float = 5) -> None:
    """Kill a process and all its children at once; return when they are gone."""
    send([process], signal.SIGSTOP)
    members = tree(process)
    send(members, signal.SIGKILL)
    await_end(members, timeout_s)


def await_end(processes: Sequence[psutil.Process], timeout_s: float) -> list[psutil.Process]:
    """Wait until all have ended; return those that have not."""
    deadline = time.monotonic() + timeout_s
    left = list(processes)
    while left and time.monotonic() < deadline:
        left = [process for process in left if _status(process) not in {psutil.STATUS_ZOMBIE, None}]
        if left:
            time.sleep(0.02)
    return left


def stop(refs: Mapping[ProcessRef, signal.Signals], grace_s: float) -> None:
    """Ask processes to end, each with its own signal; kill whatever is left after `grace_s`."""
    members: list[psutil.Process] = []
    for ref, number in refs.items():
        process = ref.find()
        if process:
            members += tree(process)
            send([process], number)
            thaw(process)
    for process in await_end(members, grace_s):
        with suppress(psutil.NoSuchProcess):
            kill(process)


def _status(process: psutil.Process) -> str | None:
    try:
        return process.status() if process.is_running() else None
    except psutil.NoSuchProcess:
        return None
