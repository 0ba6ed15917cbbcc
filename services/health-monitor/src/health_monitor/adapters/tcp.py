"""Anything that listens on a TCP port: that a connection opens is all it proves.

The kernel accepts for a server that is frozen. Where the protocol offers more, as HTTP does, ask for more.
"""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from .connection import no_connection


class TcpProbe:
    """Probe of a TCP port.

    Raises `ValueError` for a malformed address.

    Args:
        url: `tcp://host:port`.
    """

    def __init__(self, url: str) -> None:
        self._host, self._port = _address(url)

    async def check(self) -> None:
        """Open a connection and close it."""
        try:
            _, writer = await asyncio.open_connection(self._host, self._port)
        except OSError as error:
            raise no_connection(error) from None
        writer.close()

    async def close(self) -> None:
        """Nothing is kept between checks."""


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    beyond = parts.username or parts.password or parts.path.strip("/") or parts.query or parts.fragment
    if not parts.hostname or not parts.port or beyond:
        raise ValueError("an address is tcp://host:port")
    return parts.hostname, parts.port
