"""`python -m resilience_chaos.clock FILE MODULE`: a service whose date and time can be stepped while it runs.

The file says by how many seconds. libfaketime does the same to any program, and would be taken if it could: Debian's
version lets `time.sleep` of Python fail. So `time.time` and the one clock that services ask are replaced.
"""

from __future__ import annotations

import runpy
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path


def step_clock(file: Path, step_s: float) -> None:
    """Let the clock show so many seconds more than it is; fewer when negative."""
    fresh = file.with_suffix(".new")
    fresh.write_text(str(float(step_s)), encoding="ascii")
    fresh.replace(file)


class Step:
    """By how much the clock is off; read again when the file was replaced."""

    def __init__(self, file: Path) -> None:
        self._file, self._seen, self._step_s = file, 0, 0.0

    def seconds(self) -> float:
        """Return it in seconds."""
        seen = self._file.stat().st_mtime_ns
        if seen != self._seen:
            self._step_s, self._seen = float(self._file.read_text(encoding="ascii")), seen
        return self._step_s


def stepped(now: Callable[..., datetime], step: Step) -> Callable[..., datetime]:
    """Return a clock that is off by so much."""
    return lambda *whose: now(*whose) + timedelta(seconds=step.seconds())


def main() -> None:
    """Replace the clocks and become the service."""
    from resilience_runtime.clock import SystemClock  # noqa: PLC0415 - the runner of experiments needs none

    file, module = sys.argv[1:]
    step, real_time = Step(Path(file)), time.time
    SystemClock.now = stepped(SystemClock.now, step)  # type: ignore[method-assign]
    time.time = lambda: real_time() + step.seconds()
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
