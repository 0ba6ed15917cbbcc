"""Why a scope has its level, in one sentence for people."""

from __future__ import annotations

from collections.abc import Iterator

from resilience_contracts import DecidedBy, Health, Policy

from .dependency import Track
from .instant import clock_text
from .recovery import Remaining
from .state import ScopeState

LONGEST = 1000
HUNDREDTHS = 100
IN_SECONDS_BELOW_S = 90
MINUTE_S = 60
IN_MINUTES_BELOW_S = 90 * MINUTE_S
HOUR_S = 3600
TOLD_BELOW = 0.5
"""Share of calls that are not slow."""


def cause(state: ScopeState, policy: Policy, remaining: Remaining | None) -> str:
    """Say why the level is what it is, and when it is usually over."""
    return "; ".join(_parts(state, policy, remaining))[:LONGEST]


def usually(remaining: Remaining) -> str:
    """Say when such outages are usually over, as the middle 80 %."""
    low, high = remaining.q10_s, remaining.q90_s
    if high < IN_SECONDS_BELOW_S:
        return f"usually back within {_whole(low)} to {_whole(high)} seconds"
    if high < IN_MINUTES_BELOW_S:
        return f"usually back within {_whole(low / MINUTE_S)} to {_whole(high / MINUTE_S)} minutes"
    return f"usually back within {_whole(low / MINUTE_S)} minutes to {_whole(high / HOUR_S)} hours"


def slow_text(track: Track, now_ms: int) -> str:
    """Say how a dependency that is IMPAIRED is slow; nothing where it is not."""
    if track.health is not Health.IMPAIRED:
        return ""
    slowness, traffic = track.slowness(now_ms), track.traffic(now_ms)
    if slowness:
        return f"takes {slowness:.1f} x its usual for this hour"
    if traffic is not None and traffic.speed < TOLD_BELOW:
        return f"{1 - traffic.speed:.0%} of its calls are slow"
    return ""


def _whole(number: float) -> int:
    return max(1, round(number))


def _parts(state: ScopeState, policy: Policy, remaining: Remaining | None) -> Iterator[str]:
    if state.hold is not None and state.hold.effective(state.automatic) == state.hold.level:
        hold = state.hold
        yield f"held at {hold.level.name} by {hold.actor} until {clock_text(hold.expires_ms)}"
        yield state.hold.reason
        yield f"automatic level {state.automatic.name}"
    if state.silent:
        yield _silence(state)
        return
    troubles = list(_troubles(state, policy))
    yield from troubles or ["every dependency is UP"]
    yield _rule(state)
    if state.better_since_ms is not None and state.pending is not None:
        yield f"better since {clock_text(state.better_since_ms)}, {state.pending.name} is next"
    if remaining is not None:
        yield usually(remaining)


def _silence(state: ScopeState) -> str:
    heard = f"no monitor has reported since {clock_text(state.heard_ms)}"
    if state.decided_by is DecidedBy.MONITOR_LOST:
        return f"{heard}; the policy then calls for {state.automatic.name}"
    return f"{heard}; {state.automatic.name} is kept"


def _troubles(state: ScopeState, policy: Policy) -> Iterator[str]:
    for name in policy.dependencies:
        track = state.tracks[name]
        if track.health is not Health.UP:
            silent = " (silent)" if track.stale else ""
            slow = slow_text(track, state.clock_ms)
            reason = f": {slow}" if slow else ""
            yield f"{name} is {track.health} since {clock_text(track.since_ms)}{silent}{reason}"


def _rule(state: ScopeState) -> str:
    level = state.automatic.name
    if state.decided_by is DecidedBy.FLOOR:
        return f"a floor allows nothing better than {level}"
    if state.decided_by is DecidedBy.CEILING:
        return f"a ceiling allows nothing worse than {level}"
    return f"score {state.score / HUNDREDTHS:.2f}"
