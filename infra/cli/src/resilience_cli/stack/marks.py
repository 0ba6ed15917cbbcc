"""What was done to a part on purpose, told to the process that keeps it through a file.

A part that ends under the mark STOPPED is left alone; one that ends without is started again.
"""

from __future__ import annotations

from contextlib import suppress
from enum import StrEnum
from pathlib import Path


class Mark(StrEnum):
    """A fault that was made on purpose."""

    STOPPED = "stopped"
    PAUSED = "paused"


def set_mark(root: Path, part: str, mark: Mark) -> None:
    """Say what is about to be done to a part."""
    path = _path(root, part)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(mark, encoding="ascii")


def mark_of(root: Path, part: str) -> Mark | None:
    """Return what was done to a part, if anything."""
    with suppress(OSError, ValueError):
        return Mark(_path(root, part).read_text(encoding="ascii").strip())
    return None


def clear_mark(root: Path, part: str) -> None:
    """Say that the part is to run again."""
    _path(root, part).unlink(missing_ok=True)


def clear_marks(root: Path) -> None:
    """Say that everything is to run."""
    for path in (root / "chaos").glob("*"):
        path.unlink(missing_ok=True)


def _path(root: Path, part: str) -> Path:
    return root / "chaos" / part
