"""The console's form for a hold: set, change, extend or end it, and see first what it would change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import uuid4

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from flag_service.application.desk import Request as HoldRequest
from flag_service.domain.holds import Draft, tag
from flag_service.domain.picture import Picture
from flag_service.domain.preview import Effect, preview
from flag_service.domain.retailer_flag import RetailerFlag, Surroundings
from resilience_contracts import LEVEL_TARGET, Because, DecidedBy, FeatureState, HoldSet, Level, Policy
from resilience_runtime.clock import Clock
from resilience_runtime.problem import Problem

from .changes import Changes
from .console_guard import check_form, form_token, give_token
from .models import HoldIn

LIMIT = 600
DURATIONS = ((900, "15 minutes"), (3_600, "1 hour"), (14_400, "4 hours"), (86_400, "24 hours"))

Target = Annotated[str, Query(max_length=100)]
Name = Annotated[str | None, Query(max_length=100)]
Page = Callable[..., Response]


class Given(BaseModel):
    """What the form holds: a first suggestion, or what was sent.

    Attributes:
        task: what the form is for: `set` (or change), `extend`, `end`.
        action: which button was pressed: `set`, `end` or `preview`.
    """

    model_config = ConfigDict(frozen=True)

    scope: Annotated[str, Field(max_length=LIMIT)]
    target: Annotated[str, Field(max_length=LIMIT)]
    task: Annotated[str, Field(pattern="^(set|extend|end)$")] = "set"
    action: Annotated[str, Field(pattern="^(set|end|preview)$")] = "set"
    key: Annotated[str, Field(max_length=LIMIT)] = ""
    token: Annotated[str, Field(max_length=LIMIT)] = ""
    if_match: Annotated[str, Field(max_length=LIMIT)] = ""
    choice: Annotated[str, Field(max_length=LIMIT)] = ""
    reason: Annotated[str, Field(max_length=LIMIT)] = ""
    expires_in_s: Annotated[int, Field(gt=0, le=86_400)] = 3_600
    allow_better: Annotated[str, Field(max_length=LIMIT)] = ""


@dataclass(frozen=True, slots=True)
class _Now:
    """What a target is now, and whether that is by its hold."""

    state: str
    detail: str
    held: HoldSet | None
    in_force: bool
    choices: list[str]


@dataclass(frozen=True, slots=True)
class HoldPages:
    """The form and what it does."""

    changes: Changes
    clock: Clock
    page: Page

    def router(self) -> APIRouter:
        """Build the routes."""
        router = APIRouter(include_in_schema=False)
        router.get("/hold")(self._show)
        router.post("/hold")(self._take)
        return router

    async def _show(
        self, request: Request, target: Target, scope: Name = None, task: Name = None
    ) -> Response:
        name = scope or self.changes.switchboard.home_scope
        wanted = task if task in {"extend", "end"} else "set"
        given = Given.model_construct(scope=name, target=target, task=wanted)
        return self._form(request, given)

    async def _take(self, request: Request, given: Annotated[Given, Form()]) -> Response:
        try:
            check_form(request, given.token)
            if given.action == "preview":
                return self._form(request, given, sent=True, effects=self._effects(given))
            await self._do(given)
        except Problem as problem:
            return self._form(request, given, problem, sent=True)
        done = "ended" if given.action == "end" else "set"
        return RedirectResponse(f"/?{urlencode({'scope': given.scope, 'done': done})}", 303)

    async def _do(self, given: Given) -> None:
        condition = (given.if_match, None) if given.if_match else (None, "*")
        asker = HoldRequest(self.changes.actor(given.key), uuid4().hex, *condition)
        if given.action == "end":
            reason = given.reason.strip() or "ended on the console"
            await self.changes.end(given.scope, given.target, reason, asker)
        else:
            await self.changes.put(self._draft(given), asker)

    def _draft(self, given: Given) -> Draft:
        return self.changes.draft(given.scope, given.target, _asked(given))

    def _effects(self, given: Given) -> list[Effect]:
        # A preview needs no reason yet.
        draft = self._draft(given.model_copy(update={"reason": "only a preview"}))
        board = self.changes.switchboard
        return preview(draft, board.picture(given.scope, self.clock.now()), board.policy)

    def _form(
        self,
        request: Request,
        given: Given,
        problem: Problem | None = None,
        *,
        sent: bool = False,
        effects: list[Effect] | None = None,
    ) -> Response:
        board = self.changes.switchboard
        now = _now(board.picture(given.scope, self.clock.now()), given.target, board.policy)
        if now is None or not board.knows(given.scope):
            return RedirectResponse("/", 303)
        if now.held is not None and now.held.scope != given.scope:
            now = replace(now, held=None)  # set above: here is another one to be set
        if now.held is None and given.task != "set":
            given = given.model_copy(update={"task": "set"})
        if now.held is not None and not sent:
            given = given.model_copy(update=_as_held(now.held))
        token = form_token(request)
        answer = self.page(
            "hold.html",
            problem.details.status if problem else 200,
            given=given,
            token=token,
            problem=_shown(problem),
            now=now,
            held=now.held,
            tag=tag(now.held) if now.held else "",
            durations=DURATIONS,
            effects=effects,
            streams=self.changes.hub.clients,
        )
        give_token(request, answer, token)
        return answer


def _as_held(hold: HoldSet) -> dict[str, str]:
    choice = hold.level or (hold.state.value if hold.state else "")
    return {"choice": choice, "reason": hold.reason, "allow_better": "yes" if hold.allow_better else ""}


def _asked(given: Given) -> HoldIn:
    name = "level" if given.target == LEVEL_TARGET else "state"
    if not given.choice:
        raise Problem(422, "hold_invalid", f"Choose the {name} to hold at.")
    asked = {name: given.choice, "reason": given.reason, "expires_in_s": given.expires_in_s}
    try:
        return HoldIn.model_validate(asked | {"allow_better": bool(given.allow_better)})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise Problem(422, "hold_invalid", f"{first['loc'][0]}: {first['msg']}") from error


def _now(picture: Picture, target: str, policy: Policy) -> _Now | None:
    if target == LEVEL_TARGET:
        return _level_now(picture)
    if target in policy.flags:
        around = Surroundings.of(picture)
        held = around.holds.get(target)
        state = RetailerFlag(target, policy.flags[target]).automatic(around)
        return _Now(
            state.value, "by level and dependencies", held, in_force=False, choices=_names(held_flag=True)
        )
    feature = next((feature for feature in picture.features if feature.key == target), None)
    if feature is None:
        return None
    in_force = feature.because is Because.HOLD
    return _Now(feature.state.value, feature.detail, feature.hold, in_force=in_force, choices=_names())


def _level_now(picture: Picture) -> _Now:
    level, choices = picture.level, list(Level.__members__)
    if level is None:
        return _Now(
            "UNKNOWN", "nothing has been heard yet", picture.level_hold, in_force=False, choices=choices
        )
    by_hold = level.state.decided_by is DecidedBy.HOLD
    return _Now(level.name, level.state.cause, picture.level_hold, in_force=by_hold, choices=choices)


def _names(*, held_flag: bool = False) -> list[str]:
    return [state.name for state in FeatureState if not held_flag or state is not FeatureState.FALLBACK]


def _shown(problem: Problem | None) -> Mapping[str, Any] | None:
    if problem is None:
        return None
    details = problem.details
    return {"detail": details.detail, "difference": details.members.get("difference")}
