"""The console: the state of a scope on one page, and a form for holds. Works without JavaScript."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import uuid4

from fastapi import APIRouter, Form, Query, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.staticfiles import StaticFiles

from flag_service.application.desk import Request as HoldRequest
from flag_service.domain.history import History
from flag_service.domain.holds import tag
from flag_service.domain.picture import Picture
from flag_service.domain.switchboard import Switchboard
from resilience_contracts import (
    LEVEL_TARGET,
    Because,
    DecidedBy,
    FeatureState,
    FeatureView,
    HoldSet,
    Level,
    LevelView,
    format_time,
)
from resilience_runtime.clock import Clock
from resilience_runtime.problem import Problem

from .changes import Changes
from .models import HoldIn

CHANGES_SHOWN = 20
FORM_LIMIT = 600
DURATIONS = ((900, "15 minutes"), (3_600, "1 hour"), (14_400, "4 hours"), (86_400, "24 hours"))
DECIDED_BY = {
    DecidedBy.SCORE: "the overall score",
    DecidedBy.FLOOR: "a guard rail: at least this bad",
    DecidedBy.CEILING: "a guard rail: at most this bad",
    DecidedBy.HOLD: "an operator's hold",
    DecidedBy.MONITOR_LOST: "the loss of monitoring",
}
NOTICES = {"set": "The hold is set.", "ended": "The hold has ended."}
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'; object-src 'none'",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

Field = Annotated[str, Form(max_length=FORM_LIMIT)]
Name = Annotated[str | None, Query(max_length=100)]


class _Given(BaseModel):
    """What the form holds when it is shown: a first suggestion, or what was refused."""

    model_config = ConfigDict(frozen=True)

    choice: str = ""
    reason: str = ""
    expires_in_s: int = 3_600
    allow_better: bool = False


@dataclass(frozen=True, slots=True)
class _Now:
    """What a target is now, and whether that is by its hold."""

    state: str
    detail: str
    held: HoldSet | None
    in_force: bool


def static_files() -> StaticFiles:
    """Return the application that serves style, script and icon."""
    return StaticFiles(directory=Path(str(resources.files("flag_service") / "console" / "static")))


@dataclass(frozen=True, slots=True)
class Console:
    """The pages over one switchboard."""

    switchboard: Switchboard
    history: History
    changes: Changes
    clock: Clock
    environment: Environment

    def router(self) -> APIRouter:
        """Build the routes."""
        router = APIRouter(include_in_schema=False)
        router.get("/")(self._state)
        router.get("/hold")(self._hold_form)
        router.post("/hold")(self._hold)
        return router

    async def _state(self, scope: Name = None, done: Name = None) -> Response:
        now = self.clock.now()
        name = scope or self.switchboard.home_scope
        picture = self.switchboard.picture(name, now)
        if not self.switchboard.knows(name):
            return RedirectResponse("/", 303)
        level = picture.level
        return self._page(
            "state.html",
            picture=picture,
            level=level,
            decided_by=DECIDED_BY[level.state.decided_by] if level else None,
            now=now,
            stale=level is None or level.stale,
            fresh_for_s=_fresh_for_s(level, now),
            scopes=[known.scope for known in self.switchboard.pictures(now)],
            dependencies=[(key, rule.weight) for key, rule in self.switchboard.policy.dependencies.items()],
            groups=_groups(picture),
            counts=_counts(picture),
            changes=self.history.newest(name, CHANGES_SHOWN),
            notice=NOTICES.get(done or ""),
        )

    async def _hold_form(self, target: Annotated[str, Query(max_length=100)], scope: Name = None) -> Response:
        return self._form(scope or self.switchboard.home_scope, target, _Given(), None)

    async def _hold(
        self,
        *,
        scope: Field,
        target: Field,
        key: Field = "",
        action: Field = "set",
        if_match: Field = "",
        choice: Field = "",
        reason: Field = "",
        expires_in_s: Annotated[int, Form(gt=0, le=86_400)] = 3_600,
        allow_better: Field = "",
    ) -> Response:
        given = _Given(
            choice=choice, reason=reason, expires_in_s=expires_in_s, allow_better=bool(allow_better)
        )
        condition = (if_match, None) if if_match else (None, "*")
        try:
            asker = HoldRequest(self.changes.actor(key), uuid4().hex, *condition)
            if action == "end":
                await self.changes.end(scope, target, reason.strip() or "ended on the console", asker)
            else:
                await self.changes.put(self.changes.draft(scope, target, _asked(given, target)), asker)
        except Problem as problem:
            return self._form(scope, target, given, problem)
        query = urlencode({"scope": scope, "done": "ended" if action == "end" else "set"})
        return RedirectResponse(f"/?{query}", 303)

    def _form(self, scope: str, target: str, given: _Given, problem: Problem | None) -> Response:
        picture = self.switchboard.picture(scope, self.clock.now())
        now = _now(picture, target)
        if now is None or not self.switchboard.knows(scope):
            return RedirectResponse("/", 303)
        return self._page(
            "hold.html",
            problem.details.status if problem else 200,
            scope=scope,
            target=target,
            given=given,
            problem=_shown_problem(problem),
            now=now,
            held=now.held,
            tag=tag(now.held) if now.held else "",
            choices=[choice.name for choice in (Level if target == LEVEL_TARGET else FeatureState)],
            durations=DURATIONS,
        )

    def _page(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        html = self.environment.get_template(template).render(values)
        return HTMLResponse(html, status, headers=SECURITY_HEADERS)


def console_environment() -> Environment:
    """Return the templates, every value of which is escaped."""
    environment = Environment(
        loader=PackageLoader("flag_service", "console/templates"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "rfc3339": format_time,
        "shown": lambda time: f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC",
        "span": _span,
        "words": lambda name: str(name).replace("_", " "),
        "after_dot": lambda key: key.partition(".")[2] or key,
    }
    return environment


def _asked(given: _Given, target: str) -> HoldIn:
    name = "level" if target == LEVEL_TARGET else "state"
    asked = given.model_dump(include={"reason", "expires_in_s", "allow_better"})
    try:
        return HoldIn.model_validate({name: given.choice, **asked})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise Problem(422, "hold_invalid", f"{first['loc'][0]}: {first['msg']}") from error


def _now(picture: Picture, target: str) -> _Now | None:
    if target == LEVEL_TARGET:
        level = picture.level
        if level is None:
            return _Now("UNKNOWN", "nothing has been heard yet", picture.level_hold, in_force=False)
        by_hold = level.state.decided_by is DecidedBy.HOLD
        return _Now(level.name, level.state.cause, picture.level_hold, in_force=by_hold)
    feature = next((feature for feature in picture.features if feature.key == target), None)
    if feature is None:
        return None
    return _Now(feature.state.value, feature.detail, feature.hold, in_force=feature.because is Because.HOLD)


def _shown_problem(problem: Problem | None) -> Mapping[str, Any] | None:
    if problem is None:
        return None
    details = problem.details
    return {"detail": details.detail, "difference": details.members.get("difference")}


def _fresh_for_s(level: LevelView | None, now: datetime) -> float:
    if level is None:
        return -1.0
    left_s = (level.state.next_heartbeat_by - now).total_seconds()
    return min(left_s, -1.0) if level.stale else round(left_s, 1)


def _groups(picture: Picture) -> list[tuple[str, list[FeatureView]]]:
    def group(feature: FeatureView) -> str:
        return feature.key.partition(".")[0]

    return [(name, list(features)) for name, features in groupby(picture.features, key=group)]


def _counts(picture: Picture) -> str:
    states = [feature.state for feature in picture.features]
    return ", ".join(f"{states.count(state)} {state.value.lower()}" for state in FeatureState)


def _span(seconds: float) -> str:
    for size_s, unit in ((3_600, "h"), (60, "min")):
        if seconds >= size_s:
            return f"{seconds / size_s:.0f} {unit}"
    return f"{seconds:.0f} s"
