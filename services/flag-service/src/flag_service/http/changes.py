"""Holds and the audit trail over REST: reads are open, a change needs a key with the scope `write`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any
from uuid import uuid4

from fastapi import APIRouter, Depends, Header, Path, Query, Response

from flag_service.application.desk import HoldDesk, Request
from flag_service.application.trail import AuditTrail
from flag_service.domain.holds import Draft, HoldConflictError, HoldInvalidError, check, tag
from flag_service.domain.preview import preview
from flag_service.domain.switchboard import Switchboard
from resilience_contracts import LEVEL_TARGET, FeatureState, HoldSet, Level
from resilience_contracts.events import FEATURE_PATTERN
from resilience_runtime.api_keys import KeyRing
from resilience_runtime.bus import PublishError
from resilience_runtime.clock import Clock
from resilience_runtime.problem import Problem

from .hub import Hub
from .models import AuditOut, EffectOut, HoldIn, HoldOut, HoldsOut, PreviewIn, PreviewOut
from .rest import Scope, ScopeFilter

WRITE = "write"
KAFKA_RETRY_S = 2
AUDIT_PAGE = 100
END_REASON = "ended by its operator"

Target = Annotated[
    str,
    Path(pattern=FEATURE_PATTERN, max_length=100, description="a feature, a flag of the policy, or `level`"),
]
ApiKey = Annotated[str | None, Header(alias="X-API-Key", max_length=200)]
Condition = Annotated[str | None, Header(max_length=500)]
CorrelationId = Annotated[str | None, Header(alias="X-Correlation-ID", pattern=r"^[\x21-\x7e]{1,64}$")]
EndReason = Annotated[str, Query(max_length=500)]

_PREVIEW_REFUSALS: dict[int | str, dict[str, Any]] = {404: {"description": "no such scope or target"}}
_REFUSALS: dict[int | str, dict[str, Any]] = {
    401: {"description": "no key, or one that is not known"},
    403: {"description": "the key may not change holds"},
    404: {"description": "no such scope, target or hold"},
    409: {"description": "the hold is not the one that If-Match names; `difference` says how"},
    503: {"description": "Kafka did not store it in time"},
}


@dataclass(frozen=True, slots=True)
class Changes:
    """What changes are made with."""

    switchboard: Switchboard
    desk: HoldDesk
    trail: AuditTrail
    keys: KeyRing
    clock: Clock
    hub: Hub

    def router(self) -> APIRouter:
        """Build the routes."""
        router = APIRouter(prefix="/v1", tags=["holds"])
        router.get("/holds", response_model=HoldsOut)(self._holds)
        router.put(
            "/holds/{scope}/{target}",
            response_model=HoldOut,
            responses=_REFUSALS,
            dependencies=[Depends(self._knock)],
        )(self._put)
        router.delete("/holds/{scope}/{target}", status_code=204, responses=_REFUSALS)(self._delete)
        router.post("/holds:preview", response_model=PreviewOut, responses=_PREVIEW_REFUSALS)(self._preview)
        router.get("/audit", response_model=AuditOut)(self._audit)
        return router

    async def _holds(self, scope: ScopeFilter = None) -> HoldsOut:
        """Return every hold in force, of every scope or of one alone: not those that bind it from above."""
        pictures = self.switchboard.pictures(self.clock.now())
        holds = [hold for picture in pictures if scope in {None, picture.scope} for hold in picture.own_holds]
        return HoldsOut(holds=[HoldOut.of(hold) for hold in holds])

    async def _knock(self, x_api_key: ApiKey = None) -> None:
        """Refuse who may not, before anything is said of what was sent."""
        self.actor(x_api_key)

    async def _put(
        self,
        *,
        scope: Scope,
        target: Target,
        asked: HoldIn,
        response: Response,
        x_api_key: ApiKey = None,
        if_match: Condition = None,
        if_none_match: Condition = None,
        x_correlation_id: CorrelationId = None,
    ) -> HoldOut:
        """Set a hold, or edit the one in force."""
        actor = self.actor(x_api_key)
        request = Request(actor, x_correlation_id or uuid4().hex, if_match, if_none_match)
        hold = await self.put(self.draft(scope, target, asked), request)
        response.headers["ETag"] = tag(hold)
        return HoldOut.of(hold)

    async def _preview(self, asked: PreviewIn) -> PreviewOut:
        """Say what a hold would change; nothing is set, and no key is needed."""
        self._exists(asked.scope, asked.target, asked.state)
        level = Level[asked.level] if asked.level else None
        draft = Draft(asked.scope, asked.target, "", asked.state, level, None, asked.allow_better)
        try:
            check(draft, self.clock.now())
        except HoldInvalidError as error:
            raise Problem(422, "hold_invalid", str(error)) from error
        picture = self.switchboard.picture(asked.scope, self.clock.now())
        effects = preview(draft, picture, self.switchboard.policy)
        shown = [EffectOut(key=effect.key, before=effect.before, after=effect.after) for effect in effects]
        return PreviewOut(effects=shown, streams=self.hub.clients)

    async def _delete(
        self,
        *,
        scope: Scope,
        target: Target,
        reason: EndReason = END_REASON,
        x_api_key: ApiKey = None,
        if_match: Condition = None,
        x_correlation_id: CorrelationId = None,
    ) -> Response:
        """End a hold now."""
        actor = self.actor(x_api_key)
        await self.end(scope, target, reason, Request(actor, x_correlation_id or uuid4().hex, if_match))
        return Response(status_code=204)

    async def _audit(
        self,
        scope: ScopeFilter = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = AUDIT_PAGE,
        before: Annotated[str | None, Query(max_length=200)] = None,
    ) -> AuditOut:
        """Return the last audit entries, newest first, and whether their hash chain holds."""
        entries = self.trail.newest(scope)
        ids = [entry.event_id for entry in entries]
        if before is not None and before not in ids:
            raise Problem(404, "unknown_entry", f"Entry {before} is not among those kept here.")
        start = ids.index(before) + 1 if before else 0
        page = entries[start : start + limit]
        more = start + limit < len(entries)
        return AuditOut(
            entries=page,
            next=page[-1].event_id if more else None,
            faults=await self.trail.faults(),
        )

    def actor(self, key: str | None) -> str:
        """Return who holds a key that may change holds.

        Raises:
            Problem: 401 or 403.
        """
        caller = self.keys.caller(key) if key else None
        if caller is None:
            raise Problem(401, "key_needed", "Give a known key in the header X-API-Key.")
        if WRITE not in caller.scopes:
            raise Problem(403, "key_not_allowed", f"The key of {caller.name} has no scope `{WRITE}`.")
        return caller.name

    def draft(self, scope: str, target: str, asked: HoldIn) -> Draft:
        """Turn a request into what is asked for.

        Raises:
            Problem: 404 for a scope or target that does not exist, 422 for two ends.
        """
        self._exists(scope, target, asked.state)
        if asked.expires_at and asked.expires_in_s:
            raise Problem(422, "hold_invalid", "Give expires_in_s or expires_at, not both.")
        ends = (
            self.clock.now() + timedelta(seconds=asked.expires_in_s)
            if asked.expires_in_s
            else asked.expires_at
        )
        level = Level[asked.level] if asked.level else None
        return Draft(scope, target, asked.reason, asked.state, level, ends, asked.allow_better)

    def _exists(self, scope: str, target: str, state: FeatureState | None) -> None:
        if not self.switchboard.knows(scope):
            raise Problem(404, "unknown_scope", f"No level of scope {scope} is known here.")
        policy = self.switchboard.policy
        level = self.switchboard.picture(scope, self.clock.now()).level
        if target == LEVEL_TARGET and level and level.follows:
            raise Problem(
                422, "hold_invalid", f"{scope} has no level of its own; hold that of {level.follows}."
            )
        if target != LEVEL_TARGET and target not in policy.features and target not in policy.flags:
            raise Problem(
                404, "unknown_target", f"{target} is no feature or flag of the policy, nor `{LEVEL_TARGET}`."
            )
        if target in policy.flags and state is FeatureState.FALLBACK:
            raise Problem(
                422, "hold_invalid", "A flag is held ENABLED or DISABLED; only a feature falls back."
            )

    async def put(self, draft: Draft, request: Request) -> HoldSet:
        """Set a hold.

        Raises:
            Problem: 409, 422 or 503.
        """
        try:
            return await self.desk.put(draft, request)
        except HoldInvalidError as error:
            raise Problem(422, "hold_invalid", str(error)) from error
        except HoldConflictError as error:
            raise _conflict(error) from error
        except PublishError as error:
            raise not_stored() from error

    async def end(self, scope: str, target: str, reason: str, request: Request) -> None:
        """End a hold.

        Raises:
            Problem: 404, 409 or 503.
        """
        try:
            if not await self.desk.end(scope, target, reason, request):
                raise Problem(404, "no_hold", f"Nothing holds {target} in scope {scope}.")
        except HoldConflictError as error:
            raise _conflict(error) from error
        except PublishError as error:
            raise not_stored() from error


def _conflict(error: HoldConflictError) -> Problem:
    current = HoldOut.of(error.current).model_dump(mode="json") if error.current else None
    headers = {"ETag": tag(error.current)} if error.current else {}
    return Problem(
        409, "hold_conflict", str(error), headers=headers, current=current, difference=error.difference
    )


def not_stored() -> Problem:
    """Answer that Kafka did not store a change in time."""
    detail = "Kafka did not confirm the change in time; it may still take effect. Look before you try again."
    return Problem(503, "not_stored", detail, headers={"Retry-After": str(KAFKA_RETRY_S)})
