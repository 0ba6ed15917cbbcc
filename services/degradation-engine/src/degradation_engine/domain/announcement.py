"""What a scope tells the world: its whole state, and each change of level."""

from __future__ import annotations

from resilience_contracts import (
    AutomaticFeature,
    DecidedBy,
    DependencyState,
    FeatureState,
    Health,
    Level,
    LevelChanged,
    LevelHold,
    LevelState,
    Pending,
    Policy,
    Recovery,
    VersionPart,
)

from . import recovery
from .cause import cause, slow_text
from .dependency import Track
from .feature_table import Resolutions
from .instant import SECOND_MS, from_ms, span_ms
from .level import target
from .recovery import Remaining
from .score import FULL, overall
from .state import ScopeState
from .transition import deadline_ms

HUNDREDTHS = 100
MISSED_HEARTBEATS = 3
DWELL_METHOD = "promotion dwell"


def level_state(
    state: ScopeState, policy: Policy, features: Resolutions, remaining: Remaining | None
) -> LevelState:
    """Return the whole current state of a scope; `remaining` is what `expect` says."""
    return LevelState(
        scope=state.name,
        version=VersionPart(epoch=state.epoch, counter=state.counter),
        level=state.effective.name,
        rank=state.effective,
        previous_level=None if state.previous is None else state.previous.name,
        automatic_level=state.automatic.name,
        hold=_hold(state),
        score=state.score / HUNDREDTHS,
        decided_by=decided_by(state),
        cause=cause(state, policy, remaining),
        dependencies={name: _dependency(track, state.clock_ms) for name, track in state.tracks.items()},
        features=_features(state, features),
        recovery=_recovery(state, policy, remaining),
        pending=_pending(state, policy),
        stale=state.silent,
        policy_sha256=policy.sha256,
        since=from_ms(state.since_ms),
        observed_at=from_ms(state.clock_ms),
        next_heartbeat_by=from_ms(state.clock_ms + MISSED_HEARTBEATS * span_ms(policy.timing.heartbeat_s)),
    )


def level_changed(
    state: ScopeState,
    policy: Policy,
    came_from: Level,
    features: dict[str, FeatureState],
    remaining: Remaining | None,
) -> LevelChanged:
    """Return the change that brought a scope to its current level."""
    return LevelChanged(
        scope=state.name,
        version=VersionPart(epoch=state.epoch, counter=state.counter),
        from_level=came_from.name,
        from_rank=came_from,
        to_level=state.effective.name,
        to_rank=state.effective,
        decided_by=decided_by(state),
        cause=cause(state, policy, remaining),
        score=state.score / HUNDREDTHS,
        dependencies={name: track.health for name, track in state.tracks.items()},
        features=features,
        changed_at=from_ms(state.clock_ms),
    )


def decided_by(state: ScopeState) -> DecidedBy:
    """Return the rule behind the effective level."""
    held = state.hold is not None and state.hold.effective(state.automatic) == state.hold.level
    return DecidedBy.HOLD if held else state.decided_by


def expect(state: ScopeState, policy: Policy) -> Remaining | None:
    """Return how long the dependencies that hold the level down will stay away."""
    down = {
        name: recovery.ongoing(name, track.outages.learned(), state.clock_ms - track.outages.open.start_ms)
        for name, track in state.tracks.items()
        if track.health is Health.DOWN and track.outages.open is not None
    }

    def still_bad(away: frozenset[str]) -> bool:
        scores = {
            name: FULL if name in down and name not in away else track.score
            for name, track in state.tracks.items()
        }
        others = {name for name, track in state.tracks.items() if track.health is Health.DOWN} - set(down)
        called = target(policy, overall(policy.weights, scores), away | others, state.automatic)
        return called.level >= state.automatic

    return recovery.remaining(down, still_bad)


def _hold(state: ScopeState) -> LevelHold | None:
    if state.hold is None:
        return None
    return LevelHold(
        hold_id=state.hold.hold_id,
        level=state.hold.level.name,
        rank=state.hold.level,
        reason=state.hold.reason,
        actor=state.hold.actor,
        expires_at=from_ms(state.hold.expires_ms),
    )


def _dependency(track: Track, now_ms: int) -> DependencyState:
    seen_ms = track.seen_ms()
    return DependencyState(
        health=track.health,
        score=track.score / HUNDREDTHS,
        since=from_ms(track.since_ms),
        stale=track.stale,
        observed_at=None if seen_ms is None else from_ms(seen_ms),
        breakers=track.breaker_states(now_ms),
        disagreement=track.disagreement,
        warning=slow_text(track, now_ms),
    )


def _features(state: ScopeState, features: Resolutions) -> dict[str, AutomaticFeature]:
    return {
        key: AutomaticFeature(
            state=resolved.state,
            because=resolved.because,
            detail=resolved.detail,
            since=from_ms(state.features_since_ms[key]),
        )
        for key, resolved in features.items()
    }


def _recovery(state: ScopeState, policy: Policy, remaining: Remaining | None) -> Recovery | None:
    if remaining is not None:
        dwell_s = policy.timing.promote_dwell_s
        return Recovery(
            q10_s=remaining.q10_s + dwell_s,
            q50_s=remaining.q50_s + dwell_s,
            q90_s=remaining.q90_s + dwell_s,
            method=recovery.METHOD,
            samples=remaining.samples,
        )
    due_ms = deadline_ms(state, policy)
    if state.better_since_ms is None or due_ms is None:
        return None
    left_s = max(0.0, (due_ms - state.clock_ms) / SECOND_MS)
    return Recovery(q10_s=left_s, q50_s=left_s, q90_s=left_s, method=DWELL_METHOD, samples=0)


def _pending(state: ScopeState, policy: Policy) -> Pending | None:
    due_ms = deadline_ms(state, policy)
    if state.pending is None or due_ms is None:
        return None
    since, word = (
        (state.worse_since_ms, "worse")
        if state.worse_since_ms is not None
        else (state.better_since_ms, "better")
    )
    dwell_s = (due_ms - (since or due_ms)) / SECOND_MS
    return Pending(
        level=state.pending.name,
        earliest_at=from_ms(due_ms),
        rule=f"{word} for {dwell_s:g} s without a break",
    )
