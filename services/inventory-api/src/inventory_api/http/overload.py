"""Too many requests at once: the less important are refused, early and cheaply, so that the others are served in time.

Two things run short. The event loop: a few milliseconds of what has come in are weighed in each turn of it, and few
enough let in to keep the turn short; the more wait to be weighed, the more a request must matter. And the slots of
PostgreSQL, for whose lanes calls under way are limited. Both limits find their values themselves, from the time that
requests queue; see `docs/guide/guards.md`.

They are weighed at the entrance, before a task is made of them: even to look at a key would cost as much as to answer.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from math import inf
from random import Random
from urllib.parse import quote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inventory_api.domain.access import GUARDED
from inventory_api.domain.traffic import Importance, Lane, traffic_of
from resilience_guards import ConcurrencyLimiter, LimiterSettings, Shed, Shedder, Slot
from resilience_runtime.http_protocol import Refusal
from resilience_runtime.problem import MEDIA_TYPE, ProblemDetails

from .measure import Observe

TURN = LimiterSettings(initial=50, lowest=4, highest=200, queueing_s=0.003)
LANES = {
    Lane.WRITE: LimiterSettings(initial=8, lowest=4, highest=64, queueing_s=0.025),
    Lane.READ: LimiterSettings(initial=16, lowest=8, highest=64, queueing_s=0.025),
    Lane.OFFICE: LimiterSettings(initial=16, lowest=16, highest=16),
}
MOST_WAITING = (inf, 80, 64, 48, 32, 16)
"""By importance: the event loop has fallen behind when more wait to be weighed, and refuses until fewer do."""
AT_LEAST = 32
"""So many may wait for PostgreSQL in a lane, however slow it is, while the event loop keeps up."""
CROWDED_S = 1.0
"""The event loop does not keep up for so long after it has refused somebody: then nobody waits long for PostgreSQL."""
RETRY_AFTER_MOST_S = 3
ROUTE = "entrance"
"""Told as the route of what is refused."""
_FIRST = (b"POST /v1/reservations/", b"GET /health/")
_UNAVAILABLE = HTTPStatus.SERVICE_UNAVAILABLE
_PLACE = "place"
_WORKED = frozenset(range(200, 300)) | {HTTPStatus.CONFLICT}
"""Answers that took what work takes; at the door and by a breaker a request is refused much sooner."""


class Lanes:
    """Who is let through now.

    Attributes:
        shed: requests refused so far, by importance, for metrics.
    """

    def __init__(self, turn: LimiterSettings = TURN, lanes: Mapping[Lane, LimiterSettings] = LANES) -> None:
        classes = len(Importance)
        self.turn = ConcurrencyLimiter(turn)
        self._turns = Shedder(self.turn, classes)
        self.limiters = {lane: ConcurrencyLimiter(settings) for lane, settings in lanes.items()}
        self._shedders = {lane: Shedder(limiter, classes) for lane, limiter in self.limiters.items()}
        self.shed = dict.fromkeys(Importance, 0)
        self._crowded_until_s = 0.0

    def enter(self, importance: Importance, lane: Lane | None, waiting: int = 0) -> tuple[Slot, Slot | None]:
        """Take a place in this turn of the event loop, and one in a lane; so many have come and wait to be weighed.

        Raises:
            Shed: there is no room for this class.
        """
        try:
            return self._enter(importance, lane, waiting)
        except Shed:
            self.shed[importance] += 1
            raise

    def _enter(self, importance: Importance, lane: Lane | None, waiting: int) -> tuple[Slot, Slot | None]:
        if waiting > MOST_WAITING[importance]:
            self._crowded_until_s = time.monotonic() + CROWDED_S
            raise Shed
        place = self._place(importance, lane) if lane else None
        try:
            return self._turns.acquire(importance), place
        except Shed:
            self._crowded_until_s = time.monotonic() + CROWDED_S
            if lane and place:
                self.limiters[lane].released(place)
            raise

    def _place(self, importance: Importance, lane: Lane) -> Slot:
        # What ends a hold waits for PostgreSQL however long the queue is: refused, it would hold stock for longer still.
        limiter = self.limiters[lane]
        calm = lane is not Lane.OFFICE and time.monotonic() >= self._crowded_until_s
        if importance is Importance.SETTLE or (calm and limiter.in_flight < AT_LEAST):
            return limiter.take(importance)
        return self._shedders[lane].acquire(importance)


class Entrance:
    """Weighs each request under `/v1`, as `resilience_runtime.serve` asks it to.

    Args:
        lanes: who is let through.
        level: returns the value of `Resilience-Level`.
        observe: is told of each refusal.
        shown: headers by `Origin` that let a page of that origin read a refusal.
        rng: spreads when to come back.
    """

    def __init__(
        self,
        lanes: Lanes,
        level: Callable[[], str],
        observe: Observe,
        shown: Mapping[bytes, bytes],
        rng: Random,
    ) -> None:
        self._lanes = lanes
        self._level = level
        self._observe = observe
        self._shown = shown
        self._rng = rng
        self._refusals = [_Prepared(wait_s) for wait_s in range(1, RETRY_AFTER_MOST_S + 1)]

    def goes_first(self, data: bytes) -> bool:
        """Say whether a request ends a hold, or asks for health."""
        return data.startswith(_FIRST)

    def admit(self, scope: Scope, waiting: int) -> Refusal | None:
        """Let a request in, with its place in a lane, or refuse it."""
        method, path = scope["method"], scope["path"]
        if not path.startswith(GUARDED) or method == "OPTIONS":
            return None
        importance, lane = traffic_of(method, path)
        try:
            turn, place = self._lanes.enter(importance, lane, waiting)
        except Shed:
            self._observe(method, ROUTE, _UNAVAILABLE, 0.0)
            return self._refusal(scope)
        asyncio.get_running_loop().call_soon(self._begin, turn)
        if place is not None:
            scope["state"][_PLACE] = lane, place
        return None

    def _begin(self, turn: Slot) -> None:
        # Soon is when this turn's requests have been worked on: how long that took is what they queued.
        turn.started_s = time.monotonic()
        asyncio.get_running_loop().call_soon(self._lanes.turn.succeeded, turn)

    def _refusal(self, scope: Scope) -> Refusal:
        prepared = self._rng.choice(self._refusals)
        shown = b""
        if self._shown:
            origin = next((value for name, value in scope["headers"] if name == b"origin"), b"")
            shown = self._shown.get(origin, self._shown.get(b"*", b""))
        return prepared.written(scope["method"], scope["path"], self._level().encode("latin-1"), shown)


class InLane:
    """Middleware that gives a place in a lane back once the request is answered."""

    def __init__(self, app: ASGIApp, lanes: Lanes) -> None:
        self._app = app
        self._lanes = lanes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        lane, place = scope.get("state", {}).pop(_PLACE, (None, None))
        if lane is None:
            await self._app(scope, receive, send)
            return
        limiter = self._lanes.limiters[lane]
        report = limiter.released

        async def noted(message: Message) -> None:
            nonlocal report
            if message["type"] == "http.response.start":
                # What was refused quickly says nothing about how long work takes.
                report = limiter.succeeded if message["status"] in _WORKED else limiter.released
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            report(place)


class _Prepared:
    """A refusal that is written once: under load there is no time for more than to name the path in it."""

    def __init__(self, wait_s: int) -> None:
        detail = "More is asked than can be answered in time; requests that matter more are served first."
        members = {"retry_after": wait_s}
        details = ProblemDetails(_UNAVAILABLE, "overloaded", "Overloaded", detail, members)
        text = json.dumps(details.body("\0"), separators=(",", ":"))
        self._before, self._after = (part.encode() for part in text.split(json.dumps("\0")[1:-1]))
        line = f"HTTP/1.1 {_UNAVAILABLE} {_UNAVAILABLE.phrase}"
        self._head = f"{line}\r\ncontent-type: {MEDIA_TYPE}\r\nretry-after: {wait_s}\r\n".encode()

    def written(self, method: str, path: str, level: bytes, shown: bytes) -> Refusal:
        """Write it for one request."""
        body = self._before + quote(path, safe="/:").encode() + self._after
        head = b"%bresilience-level: %b\r\ncontent-length: %d\r\n%b" % (self._head, level, len(body), shown)
        return Refusal(head, b"" if method == "HEAD" else body)
