"""How much memory a running stack holds."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import psutil

from resilience_cli.stack import read_state
from resilience_cli.stack.process import tree

MEGABYTE = 1024 * 1024


def rss_mb(root: Path) -> dict[str, float]:
    """Return the resident memory of each part's process tree, in MB, shared pages counted once.

    PostgreSQL's processes share their buffers, so a plain sum of RSS would count those for each.
    """
    state = read_state(root)
    parts = state.parts if state else {}
    return {name: _tree_mb(process) for name, part in parts.items() if (process := part.ref.find())}


def _tree_mb(process: psutil.Process) -> float:
    total = 0
    for index, member in enumerate(tree(process)):
        with suppress(psutil.Error):
            memory = member.memory_info()
            total += memory.rss - (getattr(memory, "shared", 0) if index else 0)
    return round(total / MEGABYTE, 1)
