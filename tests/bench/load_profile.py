"""Where inventory-api's time goes meanwhile, by py-spy: the functions it is in, and what it does there."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from resilience_cli.stack import read_state
from tests.fixtures.stack import RunningStack

PER_S = 200
SHOWN = 25
END_S = 60
LINE = re.compile(r":\d+\)$")


@contextmanager
def profiled(stack: RunningStack, to: Path, *, wished: bool = True) -> Iterator[None]:
    """Sample the process during the block, if wished, and write which functions it was in."""
    if not wished:
        yield
        return
    state = read_state(stack.root)
    assert state
    pid = state.parts["inventory-api"].pid
    spy = Path(sys.executable).with_name("py-spy")
    with tempfile.TemporaryDirectory() as place:
        stacks = Path(place) / "stacks"
        command = [str(spy), "record", "--nonblocking", "-r", str(PER_S), "-d", "unlimited"]
        process = subprocess.Popen(
            [*command, "-f", "raw", "-o", str(stacks), "-p", str(pid)], stdout=subprocess.DEVNULL
        )
        try:
            yield
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(END_S)
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_text(shares(stacks.read_text(encoding="utf-8").splitlines()), encoding="utf-8")


def shares(stacks: list[str]) -> str:
    """Count collapsed stacks, each as `outermost;...;innermost count`: by function itself, and by what it calls too."""
    own, within, total = Counter[str](), Counter[str](), 0
    for line in stacks:
        path, _, number = line.rpartition(" ")
        frames = [LINE.sub(")", frame) for frame in path.split(";")]
        own[frames[-1]] += int(number)
        within.update(dict.fromkeys(frames, int(number)))
        total += int(number)
    return "\n".join(
        f"{title}\n"
        + "".join(f"{count / total:7.1%}  {name}\n" for name, count in counted.most_common(SHOWN))
        for title, counted in (("in the function itself", own), ("with what it calls", within))
    )
