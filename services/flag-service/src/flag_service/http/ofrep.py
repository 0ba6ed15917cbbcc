"""OFREP 0.3.0: evaluation of one flag and of all, and the stream that tells clients to ask again.

An application of its own, so that no error shape but OFREP's leaves it: clients read any 404 as
FLAG_NOT_FOUND, and cannot read the framework's 422.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi.sse import format_sse_event
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from flag_service.domain.evaluation import Context, TargetingKeyMissingError
from flag_service.domain.flags import FlagCatalogue, Sheet
from flag_service.domain.ring import FrameKind
from flag_service.domain.switchboard import Switchboard
from resilience_contracts.events import SCOPE_PATTERN
from resilience_delivery import Frame
from resilience_runtime.clock import Clock
from resilience_runtime.problem import ProblemDetails

from .access import Access, Closed
from .documents import JSON
from .hub import Hub
from .limits import Gate, RateLimited
from .rendered import TARGETING_KEY_MISSING, RenderedSheet, to_json

MAX_KEY_LENGTH = 120
MAX_SCOPE_LENGTH = 100
SCOPE_ATTRIBUTE = "resilience.scope"
INACTIVITY_DELAY_S = 120
SERVER_FULL_RETRY_S = 5
SHEETS = 256
"""Scopes whose answers are kept written; beyond, they are written anew."""
_SCOPE = re.compile(SCOPE_PATTERN)
_REFETCH = '{"type":"refetchEvaluation"}'


class OfrepError(Exception):
    """A refusal in OFREP's shape."""

    def __init__(
        self, status: int, code: str, details: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(details)
        self.status = status
        self.code = code
        self.details = details
        self.headers = dict(headers or {})


@dataclass(frozen=True, slots=True)
class Ofrep:
    """The endpoints over one switchboard."""

    switchboard: Switchboard
    catalogue: FlagCatalogue
    hub: Hub
    clock: Clock
    gate: Gate
    access: Access | None
    _sheets: dict[str, RenderedSheet] = field(default_factory=dict, init=False)

    def app(self) -> Starlette:
        """Build the application to mount at `/ofrep`."""
        return Starlette(
            routes=[
                Route("/v1/evaluate/flags", self._bulk, methods=["POST"]),
                Route("/v1/evaluate/flags/{key:path}", self._single, methods=["POST"]),
                Route("/v1/stream", self._stream, methods=["GET"]),
            ],
            exception_handlers={OfrepError: _refused, HTTPException: _not_here},
            middleware=[
                _cors(),
                *self._closed(),
                Middleware(RateLimited, gate=self.gate, respond=ofrep_shape),
            ],
        )

    def _closed(self) -> list[Middleware]:
        return [Middleware(Closed, access=self.access, respond=ofrep_shape)] if self.access else []

    async def _single(self, request: Request) -> Response:
        key = request.path_params["key"]
        context = read_context(await request.body())
        rendered = self._rendered(context)
        if key not in self.catalogue:
            raise OfrepError(404, "FLAG_NOT_FOUND", f"no flag is called {key[:MAX_KEY_LENGTH]!r}")
        try:
            return Response(rendered.one(key, context), media_type=JSON)
        except TargetingKeyMissingError as error:
            raise OfrepError(400, TARGETING_KEY_MISSING, str(error)) from error

    async def _bulk(self, request: Request) -> Response:
        context = read_context(await request.body())
        return (await self._rendered(context).all(context)).answer(request)

    def _rendered(self, context: Context) -> RenderedSheet:
        scope = _valid_scope(context.get(SCOPE_ATTRIBUTE, self.switchboard.home_scope))
        picture = self.switchboard.picture(scope, self.clock.now())
        tail = _follow(scope, self._token())
        kept = self._sheets.get(scope)
        if kept is not None and kept.sheet.picture is picture and kept.tail == tail:
            return kept
        rendered = RenderedSheet(Sheet(self.catalogue, picture), tail)
        if self.switchboard.knows(scope):
            if len(self._sheets) >= SHEETS:
                self._sheets.clear()
            self._sheets[scope] = rendered
        return rendered

    def _token(self) -> str:
        """Return what the stream's URL needs beside the scope: a browser's EventSource sends no header."""
        return f"&token={self.access.tokens.issue(self.clock.now()).text}" if self.access else ""

    async def _stream(self, request: Request) -> Response:
        scope = _valid_scope(request.query_params.get("scope", self.switchboard.home_scope))
        if self.hub.full:
            retry = {"Retry-After": str(SERVER_FULL_RETRY_S)}
            raise OfrepError(503, "GENERAL", "too many streams are open here", retry)
        return self.hub.opened(scope, None, str, _refetch)


def _follow(scope: str, token: str) -> dict[str, Any]:
    endpoint = {"requestUri": f"/ofrep/v1/stream?scope={scope}{token}"}
    stream = {"type": "sse", "endpoint": endpoint, "inactivityDelaySec": INACTIVITY_DELAY_S}
    return {"metadata": {"scope": scope}, "eventStreams": [stream]}


def _refetch(frames: Sequence[Frame]) -> bytes:
    """Write frames as at most one `refetchEvaluation`.

    The opening snapshot is one too: a client that was cut off asks again, whatever it missed.
    """
    told = [frame for frame in frames if frame.kind in {FrameKind.SNAPSHOT, FrameKind.STATE}]
    return format_sse_event(data_str=_REFETCH, id=told[-1].frame_id) if told else b""


def read_context(body: bytes) -> dict[str, Any]:
    """Read the evaluation context of a request; clients really send none, or one without a targetingKey.

    Raises:
        OfrepError: PARSE_ERROR or INVALID_CONTEXT.
    """
    try:
        request = json.loads(body) if body.strip() else {}
    except (ValueError, RecursionError) as error:
        raise OfrepError(400, "PARSE_ERROR", "the body is not JSON") from error
    if not isinstance(request, dict):
        raise OfrepError(400, "PARSE_ERROR", "the body is an object with a `context`")
    context = request.get("context")
    if context is None:
        return {}
    if not isinstance(context, dict):
        raise OfrepError(400, "INVALID_CONTEXT", "`context` is an object")
    if not isinstance(context.get("targetingKey", ""), str):
        raise OfrepError(400, "INVALID_CONTEXT", "`targetingKey` is a string")
    return context


def _valid_scope(scope: object) -> str:
    if not isinstance(scope, str) or len(scope) > MAX_SCOPE_LENGTH or not _SCOPE.match(scope):
        raise OfrepError(
            400, "INVALID_CONTEXT", "`resilience.scope` names a scope, such as `eu-west.store-042`"
        )
    return scope


def _answer(status: int, body: dict[str, Any], headers: Mapping[str, str]) -> Response:
    return Response(to_json(body), status, headers, media_type=JSON)


async def _refused(request: Request, error: Exception) -> Response:
    if not isinstance(error, OfrepError):
        raise error
    key = {"key": request.path_params["key"]} if "key" in request.path_params else {}
    return _answer(
        error.status, {**key, "errorCode": error.code, "errorDetails": error.details}, error.headers
    )


async def _not_here(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    return ofrep_shape(
        request, ProblemDetails(error.status_code, "", "", error.detail, {}, error.headers or {})
    )


def ofrep_shape(request: Request, details: ProblemDetails) -> Response:
    """Give OFREP's shape to an error that did not come from an evaluation."""
    text = f"{request.method} {request.url.path[:200]}: {details.detail}"
    return _answer(details.status, {"errorCode": "GENERAL", "errorDetails": text}, details.headers)


def _cors() -> Middleware:
    return Middleware(
        CORSMiddleware,
        allow_origins=["*"],
        allow_methods=["GET", "POST"],
        allow_headers=["Content-Type", "Authorization", "X-API-Key", "If-None-Match", "Last-Event-ID"],
        expose_headers=["ETag", "Retry-After"],
        max_age=600,
    )
