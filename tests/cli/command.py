"""The `resilience` command as a process, with a stack of its own."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

from resilience_cli.main import run
from resilience_cli.stack import PARTS, StackState, private_ports, read_state, stop_leftovers, variable_of

RESILIENCE = Path(sys.executable).parent / "resilience"


def until(what: str, look: Callable[[], object], timeout_s: float = 30) -> None:
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if look():
            return
        time.sleep(0.05)
    raise AssertionError(f"not within {timeout_s:g} s: {what}")


class Called(NamedTuple):
    code: int
    out: str
    err: str


class Command:
    """Runs `resilience` against one directory on free ports."""

    def __init__(self, root: Path, env: Mapping[str, str] | None = None) -> None:
        self.root = root
        self.ports = private_ports()
        moved = {variable_of(name): str(port) for name, port in self.ports.items()}
        self.env = {**os.environ, **moved, "RESILIENCE_STACK_DIR": str(root), **(env or {})}

    def run(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [RESILIENCE, *words],
            env={**self.env, **env},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def call(self, *words: str) -> Called:
        """Run in this process: quicker by the loading of everything."""
        stdout, stderr = io.StringIO(), io.StringIO()
        with patched(self.env), redirect_stdout(stdout), redirect_stderr(stderr):
            code = run(words)
        return Called(code, stdout.getvalue(), stderr.getvalue())

    def up(self, *parts: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Start with some parts alone and wait for the end: for what cannot start."""
        return self.run("up", *without(parts), **env)

    @contextmanager
    def running(self, *parts: str, options: Sequence[str] = ()) -> Iterator[subprocess.Popen[str]]:
        """Start with some parts alone and some options, give the process once they are ready, and end everything."""
        log = self.root.with_suffix(".log")
        with log.open("a") as output:
            process = subprocess.Popen(
                [RESILIENCE, "up", *without(parts), *options],
                env=self.env,
                stdout=output,
                stderr=output,
                text=True,
            )
        try:
            until("ready", lambda: process.poll() is not None or self._is_ready(process.pid))
            assert process.poll() is None, log.read_text(encoding="utf-8")
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(20)
            stop_leftovers(self.root)

    def state(self) -> StackState:
        state = read_state(self.root)
        assert state is not None
        return state

    def _is_ready(self, pid: int) -> bool:
        state = read_state(self.root)
        return bool(state and state.ready and state.owner_pid == pid)


def without(parts: tuple[str, ...]) -> list[str]:
    return [word for part in PARTS if part not in parts for word in ("--without", part)]


@contextmanager
def patched(env: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(env)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
