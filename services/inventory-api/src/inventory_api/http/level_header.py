"""The `Resilience-Level` header on every answer."""

from __future__ import annotations

from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

NAME = b"resilience-level"


class LevelHeader:
    """Adds the level to each answer, refusals and errors included."""

    def __init__(self, app: ASGIApp, value: Callable[[], str]) -> None:
        self._app = app
        self._value = value

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def labelled(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {
                    **message,
                    "headers": [*message["headers"], (NAME, self._value().encode("latin-1"))],
                }
            await send(message)

        await self._app(scope, receive, labelled)
