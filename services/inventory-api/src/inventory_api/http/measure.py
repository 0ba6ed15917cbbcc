"""How long answers take, by route and status; of an event stream, how long until it opens."""

from __future__ import annotations

import time
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

Observe = Callable[[str, str, int, float], None]
"""Is told method, route, status and seconds of each answer."""


_STREAM = b"text/event-stream"


class Measure:
    """Observes each answer."""

    def __init__(self, app: ASGIApp, observe: Observe) -> None:
        self._app = app
        self._observe = observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status, opened_s = 500, None

        async def noted(message: Message) -> None:
            nonlocal status, opened_s
            if message["type"] == "http.response.start":
                status = message["status"]
                if any(value.startswith(_STREAM) for _, value in message["headers"]):
                    opened_s = time.perf_counter() - began
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            route = getattr(scope.get("route"), "path", "unmatched")
            took_s = time.perf_counter() - began if opened_s is None else opened_s
            self._observe(scope["method"], route, status, took_s)
