"""One HTTP request to a part on loopback.

The standard library's client: readiness is asked for many times a second while everything else starts, and a
client that loads the certificates of the world for each question would slow that down.
"""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from dataclasses import dataclass

from .part import NotReadyError
from .sockets import LOOPBACK


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    text: str


def ask(
    port: int,
    path: str,
    method: str = "GET",
    *,
    body: str | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = 2,
) -> Answer:
    """Send a request and read the answer.

    Raises:
        NotReadyError: no answer came.
    """
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=timeout_s)
    try:
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        return Answer(response.status, response.read().decode(errors="replace"))
    except (OSError, http.client.HTTPException) as error:
        raise NotReadyError(str(error) or type(error).__name__) from error
    finally:
        connection.close()
