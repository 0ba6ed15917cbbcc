"""The outermost layer of an application: no body above the limit, no unexpected error without an answer."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .problem import ErrorShape, Problem, ProblemDetails

log = structlog.get_logger(__name__)

MAX_DIGITS = 18
RESTART_S = 5
"""About how long a service is away that ended for want of memory and was started again."""
OUT_OF_MEMORY = ProblemDetails(
    503,
    "out_of_memory",
    "Out of memory",
    "This replica has no memory left for the request; nothing else is known to be wrong. Ask again.",
    {"retry_after": RESTART_S},
    {"Retry-After": str(RESTART_S)},
)
"""Made beforehand: when it is needed, little can be made."""


def unexpected(incident: str) -> ProblemDetails:
    """Describe an error of ours without its internals; `incident` finds it in the log."""
    detail = "Something unexpected went wrong. It has been logged under this incident."
    return ProblemDetails(500, "internal_error", "Internal Server Error", detail, {"incident": incident})


class Guard:
    """Answers 413 for a body that is too long, 503 for want of memory, and 500 for what nothing else caught, logged once."""

    def __init__(
        self, app: ASGIApp, respond: ErrorShape, max_body_bytes: int, longer: Mapping[str, int]
    ) -> None:
        self._app = app
        self._respond = respond
        self._max_body_bytes = max_body_bytes
        self._longer = longer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        most = self._longer.get(scope["path"], self._max_body_bytes)
        if _declared_length(request) > most:
            await self._respond(request, _too_large(most))(scope, receive, send)
            return
        await self._guarded(request, _counted(receive, most), send)

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
        except MemoryError:
            log.error("out of memory", method=request.method, path=request.url.path)  # noqa: TRY400 - a trace needs more
            if not started:
                await self._respond(request, OUT_OF_MEMORY)(request.scope, receive, send)
        except Exception:
            incident = uuid.uuid4().hex
            log.exception("unexpected error", incident=incident, method=request.method, path=request.url.path)
            if not started:
                await self._respond(request, unexpected(incident))(request.scope, receive, send)


def _counted(receive: Receive, most: int) -> Receive:
    read = 0

    async def counted() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > most:
            raise Problem(413, _too_large(most).code, _too_large(most).detail)
        return message

    return counted


def _too_large(most: int) -> ProblemDetails:
    detail = f"The body is longer than {most} bytes."
    return ProblemDetails(413, "content_too_large", "Content Too Large", detail)


def _declared_length(request: Request) -> int:
    text = request.headers.get("content-length", "0")
    return int(text[:MAX_DIGITS]) if text.isascii() and text.isdigit() else 0
