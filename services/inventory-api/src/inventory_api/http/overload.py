"""Too many requests at once: the less important are refused, early and cheaply, so that the others are served in time.

Two things run short. The event loop: whoever arrives in one turn of it is weighed before any of them is worked on,
and the turn is kept short. And the slots of PostgreSQL, for whose lanes calls under way are limited. Both limits find
their values themselves, from the time that requests queue; see `docs/guide/guards.md`.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from random import Random
from urllib.parse import quote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inventory_api.domain.access import GUARDED
from inventory_api.domain.traffic import Importance, Lane, traffic_of
from resilience_guards import ConcurrencyLimiter, LimiterSettings, Shed, Shedder, Slot
from resilience_runtime.problem import MEDIA_TYPE, ProblemDetails

TURN = LimiterSettings(initial=50, lowest=16, highest=200, queueing_s=0.003)
LANES = {
    Lane.WRITE: LimiterSettings(initial=64, lowest=32, highest=500, queueing_s=0.25),
    Lane.READ: LimiterSettings(initial=64, lowest=32, highest=500, queueing_s=0.25),
    Lane.OFFICE: LimiterSettings(initial=16, lowest=16, highest=16),
}
RETRY_AFTER_MOST_S = 3
_UNAVAILABLE = 503


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

    def enter(self, importance: Importance, lane: Lane | None) -> tuple[Slot, Slot | None]:
        """Take a place in this turn of the event loop, and one in a lane.

        Raises:
            Shed: there is no room for this class.
        """
        try:
            place = self._place(importance, lane) if lane else None
            try:
                return self._turns.acquire(importance), place
            except Shed:
                if lane and place:
                    self.limiters[lane].released(place)
                raise
        except Shed:
            self.shed[importance] += 1
            raise

    def _place(self, importance: Importance, lane: Lane) -> Slot:
        # What ends a hold waits for PostgreSQL however long the queue is: refused, it would hold stock for longer still.
        if importance is Importance.SETTLE:
            return self.limiters[lane].take(importance)
        return self._shedders[lane].acquire(importance)


class Overload:
    """Middleware that lets requests under `/v1` through by importance."""

    def __init__(self, app: ASGIApp, lanes: Lanes, rng: Random) -> None:
        self._app = app
        self._lanes = lanes
        self._refusals = [_Refusal(wait_s) for wait_s in range(1, RETRY_AFTER_MOST_S + 1)]
        self._rng = rng

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request or refuse it."""
        if scope["type"] != "http" or not scope["path"].startswith(GUARDED):
            await self._app(scope, receive, send)
            return
        importance, lane = traffic_of(scope["method"], scope["path"])
        try:
            turn, place = self._lanes.enter(importance, lane)
        except Shed:
            await self._rng.choice(self._refusals).send(scope["path"], send)
            return
        try:
            # Everybody who arrived in this turn is weighed, and refused, before the first of them is worked on.
            await asyncio.sleep(0)
        finally:
            turn.started_s = time.monotonic()
            # Soon is when this turn's requests have been worked on: how long that took is what they queued.
            asyncio.get_running_loop().call_soon(self._lanes.turn.succeeded, turn)
        if lane is None or place is None:
            await self._app(scope, receive, send)
        else:
            await self._in_lane(self._lanes.limiters[lane], place, scope, receive, send)

    async def _in_lane(
        self, limiter: ConcurrencyLimiter, place: Slot, scope: Scope, receive: Receive, send: Send
    ) -> None:
        report = limiter.released

        async def noted(message: Message) -> None:
            nonlocal report
            if message["type"] == "http.response.start":
                # What was refused quickly for another reason says nothing about how long work takes.
                report = limiter.released if message["status"] == _UNAVAILABLE else limiter.succeeded
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            report(place)


class _Refusal:
    """A refusal that is written once: under load there is no time for more than to name the path in it."""

    def __init__(self, wait_s: int) -> None:
        detail = "More is asked than can be answered in time; requests that matter more are served first."
        members = {"retry_after": wait_s}
        details = ProblemDetails(_UNAVAILABLE, "overloaded", "Overloaded", detail, members)
        text = json.dumps(details.body("\0"), separators=(",", ":"))
        self._before, self._after = (part.encode() for part in text.split(json.dumps("\0")[1:-1]))
        self._headers = [
            (b"content-type", MEDIA_TYPE.encode()),
            (b"retry-after", str(wait_s).encode()),
        ]

    async def send(self, path: str, send: Send) -> None:
        """Answer with it."""
        body = self._before + quote(path, safe="/:").encode() + self._after
        headers = [*self._headers, (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": _UNAVAILABLE, "headers": headers})
        await send({"type": "http.response.body", "body": body})
