"""Anything over HTTP that has an address to ask for its health: GET, and a 2xx is a hit.

A fresh connection each time (`Connection: close`): a kept one that died unnoticed would look like an outage.
httpx2, which the OpenAI client brings along, rather than another client.
"""

from __future__ import annotations

import httpx2

from health_monitor.domain import ProbeError
from resilience_contracts import Outcome

from .connection import http_refusal, no_http_answer

BODY_LIMIT_BYTES = 64 * 1024


class HttpProbe:
    """Probe over HTTP. A redirect is not followed, so that it is no hit.

    Raises `ValueError` for a malformed address.

    Args:
        url: `http://...` or `https://...`; credentials in it are sent as Basic authentication.
        deadline_s: bound of each step; the caller bounds the whole.
    """

    def __init__(self, url: str, deadline_s: float) -> None:
        self._url = _address(url)
        self._client = httpx2.AsyncClient(timeout=deadline_s, headers={"Connection": "close"})

    async def check(self) -> None:
        """Get the address and the first part of its body."""
        try:
            async with self._client.stream("GET", self._url) as answer:
                await _receive(answer)
        except httpx2.TimeoutException as error:
            raise ProbeError(Outcome.TIMEOUT, type(error).__name__) from None
        except httpx2.HTTPError as error:
            raise no_http_answer(error) from None
        if not answer.is_success:
            raise http_refusal(answer.status_code, answer.headers.get("retry-after"))

    async def close(self) -> None:
        """Close the client."""
        await self._client.aclose()


def _address(url: str) -> httpx2.URL:
    try:
        address = httpx2.URL(url)
    except httpx2.InvalidURL:
        raise ValueError("not an address") from None
    if not address.host:
        raise ValueError("an address without a host")
    return address


async def _receive(answer: httpx2.Response) -> None:
    received = 0
    async for some in answer.aiter_raw():
        received += len(some)
        if received > BODY_LIMIT_BYTES:
            return
