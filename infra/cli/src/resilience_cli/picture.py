"""A scope as a person or a program wants to see it: level, dependencies, features, parts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from resilience_contracts import FeatureState, FeatureView, Health, Level, LevelChanged, LevelView, View

from .console import tame
from .durations import spoken

LEVEL_STYLES = {
    Level.OPTIMAL: "bold green",
    Level.DEGRADED: "bold yellow",
    Level.LIMITED: "bold dark_orange",
    Level.MINIMAL: "bold red",
    Level.EMERGENCY: "bold white on red",
}
STATE_STYLES = {
    FeatureState.ENABLED: "green",
    FeatureState.FALLBACK: "yellow",
    FeatureState.DISABLED: "red",
}
HEALTH_STYLES = {Health.UP: "green", Health.IMPAIRED: "yellow", Health.DOWN: "red"}


def as_json(view: View, scope: str, now: datetime, parts: dict[str, Any]) -> dict[str, Any]:
    """Return everything that is known of a scope."""
    level = view.level(scope, now)
    return {
        "scope": scope,
        "follows": level.follows if level else None,
        "level": None if level is None else level.state.model_dump(mode="json") | {"stale": level.stale},
        "features": [
            {
                "key": feature.key,
                "state": feature.state.value,
                "because": feature.because.value,
                "detail": feature.detail,
                "automatic": feature.automatic.value,
                "held": feature.hold is not None,
            }
            for feature in view.features(scope, now)
        ],
        "holds": [hold.model_dump(mode="json") for hold in view.holds(now) if hold.scope == scope],
        "parts": parts,
    }


def as_text(
    view: View, scope: str, now: datetime, parts: dict[str, Any], changes: Sequence[LevelChanged] = ()
) -> RenderableType:
    """Return everything that is known of a scope, as tables; changes of level newest first, if any are given."""
    level = view.level(scope, now)
    if level is None:
        head: RenderableType = Text(f"No level of scope {scope} was ever published", style="bold")
        return Group(head, *_changes(changes, now), *_parts(parts))
    features = _features(view.features(scope, now))
    told = (_head(level, now), _dependencies(level, now), *_changes(changes, now))
    return Group(*told, features, *_parts(parts))


def _head(level: LevelView, now: datetime) -> Text:
    state = level.state
    text = Text.assemble(
        (f" {level.name} ", LEVEL_STYLES[level.level]),
        f"  for {spoken(now - state.since)}   score {state.score:g}   version {level.version}",
    )
    if level.stale:
        text.append(f"   STALE: nothing heard for {spoken(now - state.observed_at)}", "bold magenta")
    text.append(f"\n {tame(state.cause)}")
    if level.follows:
        text.append(f"\n as {level.follows}: {level.scope} has no level of its own")
    if state.hold:
        text.append(tame(f"\n held by {state.hold.actor}: {state.hold.reason}"), "magenta")
    if state.pending:
        text.append(f"\n {state.pending.level} in {spoken(state.pending.earliest_at - now)} at the earliest")
    elif state.recovery and level.level is not Level.OPTIMAL:
        text.append(f"\n better in about {state.recovery.q50_s:.0f} s ({state.recovery.method})")
    return text


def _dependencies(level: LevelView, now: datetime) -> Table:
    table = _table("dependency", "health", "score", "for", "breakers")
    for name, dependency in level.state.dependencies.items():
        health = dependency.health.value + (" (stale)" if dependency.stale else "")
        breakers = ", ".join(f"{who} {state.value}" for who, state in dependency.breakers.items())
        style = HEALTH_STYLES.get(dependency.health, "magenta")
        cells = (f"{dependency.score:g}", spoken(now - dependency.since), escape(tame(breakers)))
        table.add_row(name, Text(health, style), *cells)
    return table


def _changes(changes: Sequence[LevelChanged], now: datetime) -> list[RenderableType]:
    table = _table("changed", "from", "to", "by", "cause")
    for change in changes:
        steps = (Text(name, _level_style(name)) for name in (change.from_level, change.to_level))
        ago = f"{spoken(now - change.changed_at)} ago"
        table.add_row(ago, *steps, change.decided_by.value, escape(tame(change.cause)))
    return [table] if changes else []


def _level_style(name: str) -> str:
    level = Level.__members__.get(name)
    return LEVEL_STYLES[level] if level is not None else "bold"


def _features(features: list[FeatureView]) -> Table:
    table = _table("feature", "state", "because", "detail")
    for feature in features:
        state = Text(feature.state.value, STATE_STYLES[feature.state])
        table.add_row(feature.key, state, feature.because.value, escape(tame(feature.detail)))
    return table


def _parts(parts: dict[str, Any]) -> list[RenderableType]:
    table = _table("part", "status", "pid", "port", "restarts")
    for name, part in parts.items():
        table.add_row(name, *(str(part[key]) for key in ("status", "pid", "port", "restarts")))
    return [table] if parts else []


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=True, header_style="bold dim", padding=(0, 2, 0, 1))
    for column in columns:
        table.add_column(column, no_wrap=column in {"feature", "dependency", "state", "part"})
    return table
