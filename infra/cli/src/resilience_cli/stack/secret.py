"""Generated secrets of a stack: files that only their owner reads."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from resilience_cli.errors import StackError


def read_or_create(path: Path, create: Callable[[], str]) -> str:
    """Return the secret kept in a file; the first caller creates it.

    Two callers at once get the same one: the file appears whole or not at all.

    Raises:
        StackError: the file is no text, or cannot be read or written.
    """
    try:
        if not path.exists():
            _create(path, create())
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StackError(
            f"{path} is damaged ({error.strerror if isinstance(error, OSError) else 'no text'})",
            f"put it back as it was, or move {path.parent.parent} away and start anew",
        ) from error


def _create(path: Path, secret: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.touch(mode=0o600)
    fresh.write_text(secret, encoding="utf-8")
    try:
        os.link(fresh, path)
    except FileExistsError:
        pass
    finally:
        fresh.unlink()
