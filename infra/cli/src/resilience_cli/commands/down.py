"""`resilience down`: stop the stack from another terminal, or clear up after one that was killed."""

from __future__ import annotations

import signal
import time
from contextlib import suppress
from pathlib import Path

import psutil

from resilience_cli.console import out
from resilience_cli.errors import StackError
from resilience_cli.stack import owned, read_state, stop_leftovers
from resilience_cli.target import stack_root

PATIENCE_S = 15.0


def down() -> None:
    """Stop the stack that runs here; end what a killed one left. Data stays."""
    root = stack_root()
    if not root.exists():
        out.print("No stack runs here")
        return
    with owned(root) as mine:
        if mine:
            left = stop_leftovers(root)
            ended = f"Ended what a killed stack had left: {', '.join(left)}"
            out.print(ended if left else "No stack runs here", soft_wrap=True)
            return
    _ask_owner_to_stop(root)
    out.print("The stack is stopped")


def _ask_owner_to_stop(root: Path) -> None:
    state = read_state(root)
    owner = state.owner.find() if state else None
    if owner:
        with suppress(psutil.NoSuchProcess):
            owner.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with owned(root) as mine:
            if mine:
                stop_leftovers(root)
                return
        time.sleep(0.1)
    raise StackError(
        f"the stack in {root} does not stop" + (f" (pid {owner.pid})" if owner else ""),
        "end that process with `kill -9` and run `resilience down` again",
    )
