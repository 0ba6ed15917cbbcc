"""The outermost layer of an application: no body above the limit, no unexpected error without an answer."""

from __future__ import annotations

import uuid

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .problem import ErrorShape, Problem, ProblemDetails

log = structlog.get_logger(__name__)

MAX_DIGITS = 18


def unexpected(incident: str) -> ProblemDetails:
    """Describe an error of ours without its internals; `incident` finds it in the log."""
    detail = "Something unexpected went wrong. It has been logged under this incident."
    return ProblemDetails(500, "internal_error", "Internal Server Error", detail, {"incident": incident})


class Guard:
    """Answers 413 for a body that is too long and 500, logged once, for what nothing else caught."""

    def __init__(self, app: ASGIApp, respond: ErrorShape, max_body_bytes: int) -> None:
        self._app = app
        self._respond = respond
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        if _declared_length(request) > self._max_body_bytes:
            await self._respond(request, self._too_large())(scope, receive, send)
            return
        await self._guarded(request, self._counted(receive), send)

    async def _guarded(self, request: Request, receive: Receive, send: Send) -> None:
        started = False

        async def note(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(request.scope, receive, note)
        except ClientDisconnect:
            return
        except Exception:
            incident = uuid.uuid4().hex
            log.exception("unexpected error", incident=incident, method=request.method, path=request.url.path)
            if not started:
                await self._respond(request, unexpected(incident))(request.scope, receive, send)

    def _counted(self, receive: Receive) -> Receive:
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._max_body_bytes:
                raise Problem(413, self._too_large().code, self._too_large().detail)
            return message

        return counted

    def _too_large(self) -> ProblemDetails:
        detail = f"The body is longer than {self._max_body_bytes} bytes."
        return ProblemDetails(413, "content_too_large", "Content Too Large", detail)


def _declared_length(request: Request) -> int:
    text = request.headers.get("content-length", "0")
    return int(text[:MAX_DIGITS]) if text.isascii() and text.isdigit() else 0
