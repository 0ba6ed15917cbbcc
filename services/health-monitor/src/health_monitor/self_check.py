"""Is it me? Before anybody blames four servers at once, this monitor asks itself over the loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from .domain import Window

TIMEOUT_S = 1.0
REQUEST = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
FINE = b" 200 "

log = structlog.get_logger(__name__)


class SelfCheck:
    """Each time every dependency begins to miss at once, checks that this process can still reach itself.

    The result goes to the log and a metric only: what is published stays what was seen.

    Args:
        dependencies: all that are probed; with fewer than two there is no "at once".
        host: where this process serves HTTP.
        port: where this process serves HTTP.
        suspect: takes 1 while this monitor suspects itself, else 0.
    """

    def __init__(
        self, dependencies: frozenset[str], host: str, port: int, suspect: Callable[[float], None]
    ) -> None:
        self._dependencies = dependencies
        self._host = host
        self._port = port
        self._suspect = suspect
        self._missing: set[str] = set()
        self._asked = asyncio.Event()

    def observed(self, dependency: str, window: Window) -> None:
        """Note whether the dependency misses."""
        before = self._all_missing
        if window.consecutive_misses:
            self._missing.add(dependency)
        else:
            self._missing.discard(dependency)
        if self._all_missing and not before:
            self._asked.set()
        if not self._all_missing:
            self._suspect(0)

    async def run(self) -> None:
        """Answer for ever."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            sound = await reaches_itself(self._host, self._port)
            if self._all_missing:
                self._say(sound=sound)

    @property
    def _all_missing(self) -> bool:
        return len(self._dependencies) > 1 and self._missing == self._dependencies

    def _say(self, *, sound: bool) -> None:
        self._suspect(0 if sound else 1)
        if sound:
            log.warning("every dependency fails at once; this monitor itself looks sound")
        else:
            log.error("every dependency fails at once, and so does my own loopback: it is probably me")


async def reaches_itself(host: str, port: int) -> bool:
    """Say whether this process answers its own liveness request within a second."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(REQUEST)
                return FINE in await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
