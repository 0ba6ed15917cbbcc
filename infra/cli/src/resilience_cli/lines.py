"""One line of text for each event, for `resilience tail`."""

from __future__ import annotations

from resilience_contracts import Event, HealthObserved, HoldSet, LevelChanged, LevelState


def line_of(event: Event) -> str:
    """Say an event in one line."""
    time = f"{event.time:%Y-%m-%d %H:%M:%S}"
    match event:
        case HealthObserved():
            return f"{time}  {event.scope}  {event.dependency:<12} {_observation(event)}  ({event.observer})"
        case LevelState():
            stale = "  stale" if event.stale else ""
            version = event.version.ordered()
            return f"{time}  {event.scope}  {event.level:<9} score {event.score:g}  {version}{stale}  {event.cause}"
        case LevelChanged():
            change = f"{event.from_level} -> {event.to_level}"
            return f"{time}  {event.scope}  {change}  ({event.decided_by.value})  {event.cause}"
        case HoldSet():
            what = event.level or (event.state.value if event.state else "")
            until = f"until {event.expires_at:%Y-%m-%d %H:%M:%S}"
            return f"{time}  {event.key}  {what} {until} by {event.actor}: {event.reason}"
    return f"{time}  {event.event_id}"


def _observation(event: HealthObserved) -> str:
    if event.breaker:
        return f"breaker {event.breaker.state.value}"
    if event.probe and event.probe.recent:
        last = event.probe.recent[-1]
        return f"{last.outcome.value} {last.latency_ms:.1f} ms"
    return "no observation"
