"""Who is let in: a known key with the right scope, within its quota, with a request of sane size.

Judged before anything of the request's body is read, and without the database.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inventory_api.application.answering import ANONYMOUS
from inventory_api.domain.access import GUARDED, KeyScope, allows, ends_a_hold, needed_scope
from inventory_api.domain.quota import Quota, Verdict
from resilience_runtime import Caller, Clock, KeyRing, Problem, ProblemDetails
from resilience_runtime.problem import problem_response

KEY_HEADER = b"x-api-key"
HEADERS_MOST = 100
HEADER_BYTES_MOST = 16 * 1024
TARGET_BYTES_MOST = 8 * 1024
BODY_S = 30.0
LONG_BODY_S = 300.0


@dataclass(slots=True)
class Door:
    """What the decision rests on.

    Attributes:
        anonymous: scopes of a caller without a key; none, unless the operator opened the door.
        long_bodies: paths whose bodies may take long to arrive.
        refused: requests refused so far, by status, for metrics.
    """

    keys: KeyRing
    anonymous: frozenset[str]
    quota: Quota
    clock: Clock
    long_bodies: frozenset[str] = frozenset()
    refused: dict[int, int] = field(default_factory=dict)

    # These read the scope itself: they run for each request, and a `Request` would take as long as they do.
    def caller(self, scope: Scope) -> Caller | None:
        """Return who asks; None for a key that nobody has, or no key where one is needed."""
        for name, value in scope["headers"]:
            if name == KEY_HEADER:
                return self.keys.caller(value.decode("latin-1"))
        return Caller(ANONYMOUS, self.anonymous) if self.anonymous else None

    def count(self, scope: Scope, caller: Caller | None) -> Verdict:
        """Count a request: of a key by its owner, of anybody else by address."""
        if caller is not None and caller.name != ANONYMOUS:
            name = f"key {caller.name}"
        else:
            name = f"address {scope['client'][0] if scope.get('client') else ''}"
        must_pass = caller is not None and ends_a_hold(scope["method"], scope["path"])
        return self.quota.take(name, self.clock.now().timestamp(), must_pass=must_pass)


class Access:
    """Middleware that asks the door for each request under `/v1`."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app = app
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with its caller, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = _oversized(scope)
        if refusal is None and scope["path"].startswith(GUARDED):
            await self._guarded(scope, receive, send)
        elif refusal is None:
            await self._app(scope, receive, send)
        else:
            await self._refuse(Request(scope), refusal, scope, receive, send)

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = self._door.caller(scope)
        verdict = self._door.count(scope, caller)
        send = _labelled(send, self._door.quota, verdict)
        refusal = _verdict_refusal(verdict) or _scope_refusal(scope, caller)
        if refusal is not None or caller is None:
            await self._refuse(Request(scope), refusal or _stranger(), scope, receive, send)
            return
        scope.setdefault("state", {})["caller"] = caller.name
        limit_s = LONG_BODY_S if scope["path"] in self._door.long_bodies else BODY_S
        await self._app(scope, _timed(receive, limit_s), send)

    async def _refuse(
        self, request: Request, details: ProblemDetails, scope: Scope, receive: Receive, send: Send
    ) -> None:
        refused = self._door.refused
        refused[details.status] = refused.get(details.status, 0) + 1
        await problem_response(request, details)(scope, receive, send)


def _oversized(scope: Scope) -> ProblemDetails | None:
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    if len(headers) > HEADERS_MOST or sum(len(n) + len(v) for n, v in headers) > HEADER_BYTES_MOST:
        detail = f"More than {HEADERS_MOST} headers or {HEADER_BYTES_MOST} bytes of them."
        return ProblemDetails(431, "headers_too_large", "Request Header Fields Too Large", detail)
    if len(scope["raw_path"] or b"") + len(scope["query_string"]) > TARGET_BYTES_MOST:
        return ProblemDetails(414, "uri_too_long", "URI Too Long", f"Longer than {TARGET_BYTES_MOST} bytes.")
    return None


def _verdict_refusal(verdict: Verdict) -> ProblemDetails | None:
    if verdict.passed:
        return None
    detail = f"Too many requests; ask again in {verdict.wait_s} s."
    members, headers = {"retry_after": verdict.wait_s}, {"Retry-After": str(verdict.wait_s)}
    return ProblemDetails(429, "too_many_requests", "Too Many Requests", detail, members, headers)


def _scope_refusal(scope: Scope, caller: Caller | None) -> ProblemDetails | None:
    if caller is None:
        return _stranger()
    needed = needed_scope(scope["method"], scope["path"])
    if allows(caller.scopes, needed):
        return None
    if caller.name == ANONYMOUS:
        return _stranger(needed)
    return ProblemDetails(
        403, "scope_missing", "Forbidden", f"This key lacks the scope `{needed}`.", {"scope": needed.value}
    )


def _stranger(needed: KeyScope | None = None) -> ProblemDetails:
    wanted = f" with the scope `{needed}`" if needed else ""
    detail = f"Give a known key{wanted} in the header X-API-Key."
    return ProblemDetails(401, "key_needed", "Unauthorized", detail, {}, {"WWW-Authenticate": "ApiKey"})


def _labelled(send: Send, quota: Quota, verdict: Verdict) -> Send:
    """Add the `RateLimit` fields of draft-ietf-httpapi-ratelimit-headers-10."""
    fields = [
        (b"ratelimit-policy", f'"default";q={quota.limit};w={quota.window_s}'.encode()),
        (b"ratelimit", f'"default";r={verdict.remaining};t={verdict.wait_s}'.encode()),
    ]

    async def labelled(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *fields]}
        await send(message)

    return labelled


def _timed(receive: Receive, limit_s: float) -> Receive:
    loop = asyncio.get_running_loop()
    end_s, whole = loop.time() + limit_s, False

    async def timed() -> Message:
        nonlocal whole
        if whole:
            return await receive()
        try:
            async with asyncio.timeout_at(end_s):
                message = await receive()
        except TimeoutError:
            raise Problem(
                408,
                "body_too_slow",
                f"The body did not arrive within {limit_s:g} s.",
                title="Request Timeout",
            ) from None
        whole = not message.get("more_body", False)
        return message

    return timed
