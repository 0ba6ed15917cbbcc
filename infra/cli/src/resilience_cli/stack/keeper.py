"""Keeps one part running: starts it, waits until it answers, starts it again when it ends by itself."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from resilience_cli.errors import StackError

from .marks import Mark, mark_of
from .part import Part, Place
from .process import Command
from .runner import POLL_S, Running, await_ready, destroy, halt, start, tail_of
from .state import PartState, Status

READY_TIMEOUT_S = 90.0
BACKOFF_S = (0.5, 1, 2, 5, 10, 30)
# A part that ran this long before it ended is started again without waiting for its earlier failures.
SETTLED_S = 60.0


@dataclass(frozen=True, slots=True)
class Ended:
    """A part ended although nobody stopped it."""

    part: str
    exit_code: int
    last_words: tuple[str, ...]
    again_in_s: float


class Extended:
    """A part with more in its environment than it has by itself."""

    def __init__(self, part: Part, env: Mapping[str, str]) -> None:
        self._part, self._env = part, env
        self.name, self.port, self.stop_signal = part.name, part.port, part.stop_signal

    def prepare(self) -> Command:
        """Prepare the part and add to its environment."""
        command = self._part.prepare()
        return replace(command, env={**command.env, **self._env})

    def talk(self) -> None:
        """Talk to the part."""
        self._part.talk()


class Keeper:
    """Owner of one part's process. `run` is meant for a thread of its own."""

    def __init__(
        self,
        part: Part,
        place: Place,
        variable: str,
        changed: Callable[[str, PartState], None],
        ended: Callable[[Ended], None],
    ) -> None:
        self.part = part
        self._place, self._variable, self._changed, self._ended = place, variable, changed, ended
        self._env: Mapping[str, str] = {}
        self._running: Running | None = None
        self._closing = threading.Event()
        self._lock = threading.RLock()
        self._restarts = 0

    def start(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Start the part and return when it answers.

        Raises:
            StackError: it cannot be started; nothing of it is left running.
        """
        with self._lock:
            if self._closing.is_set():
                raise StackError(f"{self.part.name} is not started any more", "the stack is stopping")
            running = start(Extended(self.part, self._env), self._place, self._variable)
            self._running = running
            self._tell(Status.STARTING)
        try:
            await_ready(running, timeout_s, self._closing.is_set)
        except StackError:
            destroy(running)
            raise
        self._tell(Status.READY)

    def restart(self, env: Mapping[str, str]) -> None:
        """Stop the part in order and start it with more in its environment."""
        with self._lock:
            if self._running:
                halt(self._running)
            self._env = env
            self.start()

    def run(self) -> None:
        """Watch until closed; start the part again whenever it ended and nobody wants it stopped."""
        failures = 0
        began = time.monotonic()
        while not self._closing.wait(POLL_S):
            if not self._has_ended():
                continue
            if mark_of(self._place.root, self.part.name) is Mark.STOPPED:
                self._tell(Status.STOPPED)
                failures = 0
                self._await_unmarked()
            else:
                failures = 0 if time.monotonic() - began > SETTLED_S else failures + 1
                self._tell(Status.RESTARTING)
                self._wait_before_restart(failures)
            began = time.monotonic()
            self._start_again()

    def close(self) -> None:
        """Let nothing be started any more."""
        self._closing.set()

    @property
    def running(self) -> Running | None:
        """The process, if one was ever started."""
        return self._running

    def _has_ended(self) -> bool:
        with self._lock:
            return self._running is not None and self._running.has_ended()

    def _start_again(self) -> None:
        if self._closing.is_set():
            return
        self._restarts += 1
        try:
            self.start()
        except StackError as error:
            if not self._closing.is_set():
                self._ended(Ended(self.part.name, -1, (str(error),), BACKOFF_S[0]))

    def _await_unmarked(self) -> None:
        while mark_of(self._place.root, self.part.name) is Mark.STOPPED and not self._closing.wait(POLL_S):
            pass

    def _wait_before_restart(self, failures: int) -> None:
        wait_s = BACKOFF_S[min(failures, len(BACKOFF_S) - 1)] * random.uniform(0.8, 1.2)  # noqa: S311  # jitter
        code = self._running.process.returncode if self._running else -1
        words = tuple(tail_of(self._place.log(self.part.name), 3))
        self._ended(Ended(self.part.name, code, words, wait_s))
        self._closing.wait(wait_s)

    def _tell(self, status: Status) -> None:
        if self._running:
            ref = self._running.ref
            state = PartState(
                pid=ref.pid,
                create_time=ref.create_time,
                port=self.part.port,
                status=status,
                restarts=self._restarts,
            )
            self._changed(self.part.name, state)
