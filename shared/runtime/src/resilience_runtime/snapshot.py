"""A small file that outlives a restart, and is either whole or not there."""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)


class Snapshot:
    """Content of a file behind its own checksum. Another process never sees half of it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> bytes | None:
        """Return the content, or None, logged, where there is none or it is damaged."""
        try:
            digest, _, content = self.path.read_bytes().partition(b"\n")
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("snapshot unreadable", path=str(self.path), reason=str(error))
            return None
        if digest != _digest(content):
            log.warning("snapshot damaged", path=str(self.path))
            return None
        return content

    def write(self, content: bytes) -> None:
        """Replace the content: written beside, flushed to the disk, renamed.

        Raises:
            OSError: the directory cannot be made or written.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{self.path.name}.", dir=self.path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(_digest(content) + b"\n" + content)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self.path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        _sync_directory(self.path.parent)

    async def save(self, content: bytes) -> bool:
        """Write in a thread; a disk that fails is logged, as a snapshot only ever speeds up a start."""
        try:
            await asyncio.to_thread(self.write, content)
        except OSError as error:
            log.warning("snapshot not written", path=str(self.path), reason=str(error))
            return False
        return True


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
