"""Too many requests of one caller are refused, in the shape of the part of the API they were for."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from flag_service.domain.rate import RateLimit
from resilience_runtime.api_keys import KeyRing
from resilience_runtime.clock import Clock
from resilience_runtime.problem import ErrorShape, ProblemDetails


@dataclass(slots=True)
class Gate:
    """Counts requests by caller: a known key counts as its owner, anybody else by address."""

    limit: RateLimit
    keys: KeyRing
    clock: Clock
    refused: int = 0

    def wait_s(self, request: Request) -> int:
        """Return 0 to let a request pass, else the seconds to wait."""
        wait_s = self.limit.wait_s(self._caller(request), self.clock.monotonic())
        self.refused += wait_s > 0
        return wait_s

    def _caller(self, request: Request) -> str:
        key = request.headers.get("x-api-key")
        known = self.keys.caller(key) if key else None
        return f"key {known.name}" if known else f"address {request.client.host if request.client else ''}"


class RateLimited:
    """Middleware that asks the gate for each request under a prefix."""

    def __init__(self, app: ASGIApp, gate: Gate, respond: ErrorShape, prefix: str = "/") -> None:
        self._app = app
        self._gate = gate
        self._respond = respond
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 429."""
        if scope["type"] == "http" and scope["path"].startswith(self._prefix):
            request = Request(scope)
            wait_s = self._gate.wait_s(request)
            if wait_s:
                await self._refusal(request, wait_s)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refusal(self, request: Request, wait_s: int) -> Response:
        detail = f"Too many requests; ask again in {wait_s} s."
        headers = {"Retry-After": str(wait_s)}
        return self._respond(
            request, ProblemDetails(429, "too_many_requests", "Too Many Requests", detail, {}, headers)
        )
