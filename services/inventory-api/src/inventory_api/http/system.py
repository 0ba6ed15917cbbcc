"""What this replica knows of the system's state."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from resilience_contracts import Because, BreakerState, FeatureState

from .fields import Out
from .rendering import render, respond
from .services import Serving

router = APIRouter(prefix="/v1/system", tags=["system"])


class FeatureOut(Out):
    """A feature's state."""

    state: FeatureState
    because: Because
    detail: str
    since: datetime | None


class BreakerOut(Out):
    """A circuit breaker of this replica."""

    state: BreakerState
    failure_rate: float | None
    slow_rate: float | None
    retry_after_s: float


class CommandsOut(Out):
    """Writes that were accepted and wait to be applied; null before it is known how far they were applied."""

    waiting: int | None
    oldest_age_s: float | None


class DegradationOut(Out):
    """What this replica knows and does."""

    scope: str
    follows: str | None = Field(description="the scope above whose level this is; null where it is its own")
    level: str
    rank: int | None
    version: str | None
    stale: bool
    cause: str | None
    score: float | None
    since: datetime | None
    features: dict[str, FeatureOut]
    breakers: dict[str, BreakerOut]
    feed_age_s: float | None = Field(description="seconds since the newest record of the level feed")
    commands: CommandsOut


@router.get("/degradation", response_model=DegradationOut)
async def degradation(services: Serving) -> Response:
    """Show the level, each feature and why, the circuit breakers of this replica, and how many writes wait."""
    level = services.switches.level()
    features = {
        seen.key: FeatureOut(state=seen.state, because=seen.because, detail=seen.detail, since=seen.since)
        for seen in services.switches.features()
    }
    snapshots = {name: breaker.snapshot() for name, breaker in services.breakers.items()}
    breakers = {
        name: BreakerOut(
            state=BreakerState(seen.state.value),
            failure_rate=seen.failure_rate,
            slow_rate=seen.slow_rate,
            retry_after_s=round(seen.retry_after_s, 3),
        )
        for name, seen in snapshots.items()
    }
    body = DegradationOut(
        scope=services.switches.scope,
        follows=level.follows if level else None,
        level=level.name if level else "UNKNOWN",
        rank=int(level.level) if level else None,
        version=str(level.version) if level else None,
        stale=level.stale if level else True,
        cause=level.state.cause if level else None,
        score=level.state.score if level else None,
        since=level.state.since if level else None,
        features=features,
        breakers=breakers,
        feed_age_s=services.feed_age_s(),
        commands=CommandsOut(waiting=services.waiting(), oldest_age_s=services.waiting_age_s()),
    )
    return respond(render(body, headers={"Cache-Control": "no-store"}))
