"""When a scope's automatic level moves (degradation-policy, section 4): dwell, one step up, silence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from resilience_contracts import DecidedBy, Health, Level, Policy

from . import damping
from .dependency import Judgement
from .instant import span_ms
from .level import Target, target
from .score import overall
from .state import ScopeState


@dataclass(frozen=True, slots=True)
class Evidence:
    """What all dependencies of a scope say together."""

    score: int
    down: frozenset[str]
    settled: bool
    silent: bool

    @staticmethod
    def of(policy: Policy, judgements: Mapping[str, Judgement], probed: frozenset[str]) -> Evidence:
        """Sum up. `probed` names the dependencies that a monitor has ever reported."""
        return Evidence(
            score=overall(policy.weights, {name: judged.score for name, judged in judgements.items()}),
            down=frozenset(name for name, judged in judgements.items() if judged.health is Health.DOWN),
            settled=all(judged.settled for judged in judgements.values()),
            silent=bool(probed) and all(judgements[name].lone for name in probed),
        )


def move(state: ScopeState, policy: Policy, evidence: Evidence) -> None:
    """Move the automatic level as far as the evidence and the dwell times allow at the scope's clock."""
    state.silent = evidence.silent
    if evidence.silent:
        _wait_for_monitor(state, policy)
        return
    called = target(policy, evidence.score, evidence.down, state.automatic)
    if called.immediate > state.automatic:
        _demote(state, policy, called.immediate, DecidedBy.FLOOR)
        called = target(policy, evidence.score, evidence.down, state.automatic)
    if called.level > state.automatic:
        _worse(state, policy, called)
    elif called.level < state.automatic and evidence.settled:
        _better(state, policy, called)
    else:
        _stay(state, called)


def deadline_ms(state: ScopeState, policy: Policy) -> int | None:
    """Return when a pending move is due, if one is."""
    if state.worse_since_ms is not None:
        return state.worse_since_ms + span_ms(policy.timing.demote_dwell_s)
    if state.better_since_ms is not None:
        return damping.promote_at(state.damper, policy, state.better_since_ms)
    return lost_ms(state, policy)


def lost_ms(state: ScopeState, policy: Policy) -> int | None:
    """Return when the silence of every monitor becomes `on_monitor_lost`, where that is a level."""
    if not state.silent or policy.timing.on_monitor_lost == "keep":
        return None
    return state.heard_ms + span_ms(policy.timing.monitor_lost_s)


def _wait_for_monitor(state: ScopeState, policy: Policy) -> None:
    state.worse_since_ms = state.better_since_ms = state.pending = None
    lost = policy.timing.on_monitor_lost
    due = lost_ms(state, policy)
    if due is not None and state.clock_ms >= due and isinstance(lost, Level):
        state.automatic, state.decided_by = lost, DecidedBy.MONITOR_LOST


def _worse(state: ScopeState, policy: Policy, called: Target) -> None:
    state.better_since_ms = None
    if state.worse_since_ms is None:
        state.worse_since_ms = state.clock_ms
    state.pending = called.level
    if state.clock_ms - state.worse_since_ms >= span_ms(policy.timing.demote_dwell_s):
        _demote(state, policy, called.level, called.decided_by)
        state.worse_since_ms = state.pending = None


def _better(state: ScopeState, policy: Policy, called: Target) -> None:
    state.worse_since_ms = None
    if state.better_since_ms is None:
        state.better_since_ms = state.clock_ms
    if state.clock_ms >= damping.promote_at(state.damper, policy, state.better_since_ms):
        state.automatic, state.decided_by = state.automatic.better(), called.decided_by
        state.better_since_ms = state.clock_ms if called.level < state.automatic else None
    state.pending = state.automatic.better() if state.better_since_ms is not None else None


def _stay(state: ScopeState, called: Target) -> None:
    state.worse_since_ms = state.better_since_ms = state.pending = None
    if called.level == state.automatic:
        state.decided_by = called.decided_by


def _demote(state: ScopeState, policy: Policy, level: Level, decided_by: DecidedBy) -> None:
    state.automatic, state.decided_by = level, decided_by
    state.better_since_ms = None
    state.damper = damping.demoted(state.damper, policy, state.clock_ms)
