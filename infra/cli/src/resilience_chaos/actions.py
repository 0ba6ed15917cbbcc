"""What Chaos Toolkit does. Each names the stack by the configuration's `root`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .session import session

__all__ = ["end", "inject", "mend", "observe"]

Configuration = dict[str, Any]


def observe(row: str, configuration: Configuration) -> str:
    """Look at the level and use the shop from now on."""
    session(Path(configuration["root"])).observe(row)
    return "looking"


def inject(part: str, kind: str, options: dict[str, Any], configuration: Configuration) -> str:
    """Make a fault; return once it is there."""
    session(Path(configuration["root"])).inject(part, kind, options)
    return f"{part} {kind}"


def mend(configuration: Configuration) -> str:
    """Take every fault away; return once every part answers."""
    session(Path(configuration["root"])).mend()
    return "mended"


def end(configuration: Configuration) -> str:
    """Stop looking."""
    session(Path(configuration["root"])).end()
    return "ended"
