"""Closed reads: where configured, whoever reads needs a key, and an event stream a key or a token."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from flag_service.domain.stream_tokens import StreamTokens
from resilience_runtime.api_keys import KeyRing
from resilience_runtime.clock import Clock
from resilience_runtime.problem import ErrorShape, Problem, ProblemDetails

from .changes import WRITE, ApiKey

READ = "read"
STREAMS = frozenset({"/v1/stream", "/ofrep/v1/stream"})
OPEN = ("/health/", "/static/", "/ofrep/")
"""Health is for everyone, static files tell nothing, and OFREP asks by itself, where its errors have its shape."""
BEARER = "bearer "


class StreamTokenOut(BaseModel):
    """A token for the query of an event stream's URL, as `?token=`."""

    token: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Access:
    """Who may read."""

    keys: KeyRing
    tokens: StreamTokens
    clock: Clock

    def router(self) -> APIRouter:
        """Build the route that gives tokens."""
        router = APIRouter(prefix="/v1", tags=["levels"])
        router.post("/stream-tokens", response_model=StreamTokenOut)(self._issue)
        return router

    async def _issue(self, x_api_key: ApiKey = None) -> StreamTokenOut:
        """Return a token that opens event streams for 15 minutes at least."""
        refusal = self._judge(x_api_key)
        if refusal:
            raise Problem(refusal.status, refusal.code, refusal.detail)
        token = self.tokens.issue(self.clock.now())
        return StreamTokenOut(token=token.text, expires_at=token.expires_at)

    def refusal(self, request: Request) -> ProblemDetails | None:
        """Return why a request may not read, or None if it may."""
        token = request.query_params.get("token", "")
        if request.url.path in STREAMS and self.tokens.good(token, self.clock.now()):
            return None
        bearer = request.headers.get("authorization", "")
        given = bearer[len(BEARER) :] if bearer.lower().startswith(BEARER) else None
        return self._judge(request.headers.get("x-api-key") or given)

    def _judge(self, key: str | None) -> ProblemDetails | None:
        caller = self.keys.caller(key) if key else None
        if caller is None:
            return ProblemDetails(401, "key_needed", "Unauthorized", "Give a known key in X-API-Key.")
        if not caller.scopes & {READ, WRITE}:
            detail = f"The key of {caller.name} has no scope `{READ}`."
            return ProblemDetails(403, "key_not_allowed", "Forbidden", detail)
        return None


class Closed:
    """Middleware that lets in only who may read."""

    def __init__(self, app: ASGIApp, access: Access, respond: ErrorShape, skip: tuple[str, ...] = ()) -> None:
        self._app = app
        self._access = access
        self._respond = respond
        self._skip = skip

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 401 or 403."""
        if scope["type"] == "http" and not scope["path"].startswith(self._skip):
            request = Request(scope)
            refusal = self._access.refusal(request)
            if refusal:
                await self._respond(request, refusal)(scope, receive, send)
                return
        await self._app(scope, receive, send)
