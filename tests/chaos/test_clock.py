"""The clock of a service, stepped while it runs, and an experiment refused that cannot be made here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from resilience_chaos.clock import step_clock
from tests.fixtures.processes import ended

SERVICE = """
import sys, time
from datetime import UTC, datetime
from resilience_runtime.clock import SystemClock

for _ in sys.stdin:
    off_s = (SystemClock().now() - datetime.now(UTC)).total_seconds()
    print(round(off_s), round(time.time() - datetime.now(UTC).timestamp()), time.monotonic(), flush=True)
"""


def test_a_clock_is_stepped_forward_and_back_and_intervals_are_not(tmp_path: Path) -> None:
    file = tmp_path / "it.clock"
    (tmp_path / "ticking.py").write_text(SERVICE, encoding="utf-8")
    argv = (sys.executable, "-m", "resilience_chaos.clock", str(file), "ticking")
    step_clock(file, 0)

    with ended(
        subprocess.Popen(argv, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    ) as process:
        assert process.stdin
        assert process.stdout
        seen = []
        for step_s in (0, 3600, -3600, 0):
            step_clock(file, step_s)
            print(file=process.stdin, flush=True)
            now_off_s, time_off_s, monotonic_s = process.stdout.readline().split()
            seen.append((int(now_off_s), int(time_off_s), float(monotonic_s)))

    assert [off for off, _, _ in seen] == [0, 3600, -3600, 0]
    assert [off for _, off, _ in seen] == [0, 3600, -3600, 0]
    assert max(at_s for *_, at_s in seen) - min(at_s for *_, at_s in seen) < 60


@pytest.mark.parametrize("step_s", [0.0, -3600.0, 1_234_567.5])
def test_a_step_is_written_as_it_is_read(step_s: float, tmp_path: Path) -> None:
    step_clock(tmp_path / "it.clock", step_s)

    assert float((tmp_path / "it.clock").read_text(encoding="ascii")) == step_s
