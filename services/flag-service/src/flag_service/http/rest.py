"""Levels, features, history and the event stream, open to every reader."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request, Response
from pydantic import BaseModel

from flag_service.domain.history import HISTORY_CAPACITY, History
from flag_service.domain.picture import Picture
from flag_service.domain.switchboard import Switchboard
from resilience_contracts.events import SCOPE_PATTERN
from resilience_runtime.clock import Clock
from resilience_runtime.problem import Problem

from .documents import Documents
from .hub import Hub
from .models import FeaturesOut, HistoryOut, LevelOut, LevelsOut, SnapshotOut

FULL_RETRY_S = 5
DEFAULT_CHANGES = 100

Scope = Annotated[str, Path(pattern=SCOPE_PATTERN, max_length=100, description="such as `eu-west.store-042`")]
ScopeFilter = Annotated[str | None, Query(pattern=SCOPE_PATTERN, max_length=100)]
NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "the caller's ETag is current"}}
UNKNOWN_SCOPE: dict[int | str, dict[str, Any]] = {404: {"description": "no level of this scope is known"}}
FULL: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {}}, "description": "events snapshot, state, change, heartbeat"},
    503: {"description": "too many streams are open"},
}


@dataclass(frozen=True, slots=True)
class Reads:
    """What readers are answered from."""

    switchboard: Switchboard
    history: History
    documents: Documents
    hub: Hub
    clock: Clock

    def router(self) -> APIRouter:
        """Build the routes."""
        router = APIRouter(prefix="/v1", tags=["levels"])
        get = router.get
        get("/levels", response_model=LevelsOut, responses=NOT_MODIFIED)(self._levels)
        get("/levels/{scope}", response_model=LevelOut, responses=NOT_MODIFIED | UNKNOWN_SCOPE)(self._level)
        get("/levels/{scope}/history", response_model=HistoryOut, responses=NOT_MODIFIED | UNKNOWN_SCOPE)(
            self._history
        )
        get("/features", response_model=FeaturesOut, responses=NOT_MODIFIED | UNKNOWN_SCOPE)(self._features)
        get("/stream", response_model=None, responses=FULL)(self._stream)
        return router

    async def _levels(self, request: Request) -> Response:
        """Return the level of every scope."""
        return self._document(request, "levels", self._all_levels)

    def _all_levels(self) -> LevelsOut:
        pictures = self.switchboard.pictures(self.clock.now())
        return LevelsOut(levels=[LevelOut.of(picture.level) for picture in pictures if picture.level])

    async def _level(self, request: Request, scope: Scope) -> Response:
        """Return the level of a scope, with its dependencies, its cause and what it waits for."""
        level = self._known(scope).level
        if level is None:
            raise _unknown_scope(scope)
        return self._document(request, f"level {scope}", lambda: LevelOut.of(level))

    async def _history(
        self,
        request: Request,
        scope: Scope,
        limit: Annotated[int, Query(ge=1, le=HISTORY_CAPACITY)] = DEFAULT_CHANGES,
    ) -> Response:
        """Return the last level changes of a scope, or of the one that it follows, newest first."""
        level = self._known(scope).level
        changes = self.history.newest((level and level.follows) or scope, limit)
        return self._document(
            request, f"history {scope} {limit}", lambda: HistoryOut(scope=scope, changes=changes)
        )

    async def _features(self, request: Request, scope: ScopeFilter = None) -> Response:
        """Return every feature of a scope: its state, why, and what automation alone would give."""
        picture = self._known(scope or self.switchboard.home_scope)
        return self._document(request, f"features {picture.scope}", lambda: FeaturesOut.of(picture))

    async def _stream(
        self, scope: ScopeFilter = None, last_event_id: Annotated[str | None, Header(max_length=200)] = None
    ) -> Response:
        """Open the event stream: a snapshot, or what was missed since Last-Event-ID; then every change."""
        if self.hub.full:
            retry = {"Retry-After": str(FULL_RETRY_S)}
            raise Problem(503, "streams_full", "Too many streams are open here.", headers=retry)
        return self.hub.opened(scope, last_event_id, lambda: self._snapshot(scope))

    def _snapshot(self, scope: str | None) -> str:
        pictures = self.switchboard.pictures(self.clock.now())
        name = scope and self.switchboard.told_as(scope)
        wanted = [picture for picture in pictures if name in {None, picture.scope}]
        # Written once for each state: after a restart, every client comes back at the same time.
        name = f"snapshot {[picture.scope for picture in wanted]}"
        made = self.documents.get(name, lambda: SnapshotOut.of(wanted).model_dump_json().encode())
        return made.body.decode()

    def _known(self, scope: str) -> Picture:
        picture = self.switchboard.picture(scope, self.clock.now())
        if not self.switchboard.knows(scope):
            raise _unknown_scope(scope)
        return picture

    def _document(self, request: Request, name: str, make: Callable[[], BaseModel]) -> Response:
        self.switchboard.advance(self.clock.now())
        document = self.documents.get(name, lambda: make().model_dump_json().encode())
        return document.answer(request)


def _unknown_scope(scope: str) -> Problem:
    return Problem(404, "unknown_scope", f"No level of scope {scope} is known here.")
