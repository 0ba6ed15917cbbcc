"""A full disk: for parts that write, when their directory is a small file system of its own.

Nothing is done to a disk that others use as well. A limit on the size of files (RLIMIT_FSIZE) needs no file system,
but what it answers is EFBIG, which PostgreSQL does not take for a full disk.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from resilience_cli.errors import StackError
from resilience_cli.stack import Place, restore_part

from .site import Mend, Site

LARGEST_BYTES = 2 * 1024**3
BLOCK = bytes(1024 * 1024)


def full(site: Site, part: str) -> Mend:
    """Take every block that is left; return when nothing more can be written."""
    require_small_disk(site, part)
    ballast = _folder(site, part) / "ballast"
    with ballast.open("wb") as file:
        _fill(file.fileno())

    def make_room() -> str:
        ballast.unlink(missing_ok=True)
        return restore_part(site.root, part)

    return make_room


def require_small_disk(site: Site, part: str) -> None:
    """Check that a part writes to a file system of its own, of at most 2 GB.

    Raises:
        StackError: it does not.
    """
    folder = _folder(site, part)
    space = os.statvfs(folder)
    if not folder.is_mount() or space.f_blocks * space.f_frsize > LARGEST_BYTES:
        raise StackError(
            f"{part} has no small disk of its own that may be filled",
            f"stop the stack, empty {folder}, run `mount -t tmpfs -o size=400m tmpfs {folder}` and start it again",
        )


def _folder(site: Site, part: str) -> Path:
    return Place(site.root).data(part)


def _fill(descriptor: int) -> None:
    try:
        while True:
            os.write(descriptor, BLOCK)  # the last one is written in part
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
