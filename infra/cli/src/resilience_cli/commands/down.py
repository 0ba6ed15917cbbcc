"""`resilience down`: stop the stack from another terminal, or clear up after one that was killed."""

from __future__ import annotations

import json
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import psutil
import typer

from resilience_cli.console import out
from resilience_cli.errors import StackError
from resilience_cli.stack import owned, read_state, stop_leftovers
from resilience_cli.target import stack_root

PATIENCE_S = 15.0


def down(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document, for programs.")] = False,
) -> None:
    """Stop the stack that runs here; end what a killed one left. Data stays."""
    stopped, left = _stop(stack_root())
    if as_json:
        print(json.dumps({"stopped": stopped, "left": left}))
    elif left:
        out.print(f"Ended what a killed stack had left: {', '.join(left)}", soft_wrap=True)
    else:
        out.print("The stack is stopped" if stopped else "No stack runs here")


def _stop(root: Path) -> tuple[bool, list[str]]:
    """Return whether a running stack was stopped, and what of a killed one was ended."""
    if not root.exists():
        return False, []
    with owned(root) as mine:
        if mine:
            return False, list(stop_leftovers(root))
    _ask_owner_to_stop(root)
    return True, []


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
