"""A replay as a person or a program wants to see it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from resilience_contracts import FeatureState, Level, format_time

from .picture import LEVEL_STYLES
from .policy_replay import Change, Replay, Trial

SCOPES_SHOWN = 5
PAIR = 2
LETTERS = {FeatureState.DISABLED: "X", FeatureState.FALLBACK: "F"}
"""As in the policy file."""
UNITS = ((86_400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s"))
"""Seconds and name of a unit, and those of the next smaller one."""


def as_document(replay: Replay) -> dict[str, Any]:
    """Return everything, times in seconds summed over all scopes."""
    return {
        "begin": None if replay.begin is None else format_time(replay.begin),
        "end": None if replay.end is None else format_time(replay.end),
        "events": replay.events,
        "scopes": replay.scopes,
        "skipped": {"count": replay.skipped, "first": replay.skips},
        "notes": list(notes(replay)),
        "policies": [_trial(trial) for trial in replay.trials],
    }


def _trial(trial: Trial) -> dict[str, Any]:
    tally = trial.tally
    return {
        "name": trial.name,
        "sha256": trial.policy.sha256,
        "changes": tally.changes.total(),
        "demotions": tally.worse,
        "levels_s": {level.name: spent for level, spent in tally.levels_s().items()},
        "features_s": {
            key: {state.value: spent for state, spent in states.items()}
            for key, states in tally.features_s(trial.policy).items()
        },
        "refused": dict(tally.refused),
        "worst_scopes": [
            {"scope": scope, "not_optimal_s": ms / 1000, "changes": tally.changes[scope]}
            for scope, ms in tally.unwell_ms.most_common(SCOPES_SHOWN)
        ],
        "latest": [_change(change) for change in _in_order(trial)],
    }


def _change(change: Change) -> dict[str, str]:
    return {
        "at": format_time(change.at),
        "scope": change.scope,
        "from": change.source.name,
        "to": change.target.name,
        "decided_by": change.decided_by,
        "cause": change.cause,
    }


def notes(replay: Replay) -> Iterator[str]:
    """Say what limits the result."""
    if replay.begin is not None and replay.first_at is not None and replay.first_at >= replay.begin:
        yield (
            f"the log begins at {format_time(replay.first_at)}: from there each scope starts at OPTIMAL "
            "and settles within minutes"
        )
    if replay.skipped:
        yield f"{replay.skipped} records were no health events; the first: {'; '.join(replay.skips)}"
    for trial in replay.trials:
        for reason, count in trial.tally.refused.items():
            yield f"{trial.name}: {count} events refused ({reason})"
        unheard = [name for name in trial.policy.dependencies if name not in replay.dependencies]
        if unheard:
            yield f"{trial.name}: the log says nothing of {', '.join(unheard)}, so that counts as UNKNOWN"


def as_text(replay: Replay) -> RenderableType:
    """Return tables: levels, features that were lost, scopes and the last changes."""
    parts: list[RenderableType] = [_head(replay), Text(), _levels(replay), Text(), _features(replay)]
    if replay.scopes > 1:
        parts += [Text(), _scopes(replay)]
    parts += [Text(), _timeline(replay)]
    parts += [Text(f"note: {note}", style="yellow") for note in notes(replay)]
    return Group(*parts)


def _head(replay: Replay) -> Text:
    span = "" if replay.begin is None or replay.end is None else f"{replay.begin:%Y-%m-%d %H:%M:%S} to "
    until = "" if replay.end is None else f"{replay.end:%Y-%m-%d %H:%M:%S} UTC"
    scopes = f"{replay.scopes:,} scope" + ("s" if replay.scopes != 1 else "")
    return Text.assemble((f"{span}{until}", "bold"), f"   {replay.events:,} events of {scopes}")


def _levels(replay: Replay) -> Table:
    table = _table(replay, "level")
    for name, counts in (
        ("changes", [trial.tally.changes.total() for trial in replay.trials]),
        ("for the worse", [trial.tally.worse for trial in replay.trials]),
    ):
        table.add_row(name, *(f"{count:,}" for count in counts), *_difference(counts, "{:+,.0f}".format))
    spent = [trial.tally.levels_s() for trial in replay.trials]
    for level in Level:
        seconds = [levels[level] for levels in spent]
        cells = [_share(levels[level], sum(levels.values())) for levels in spent]
        table.add_row(Text(level.name, LEVEL_STYLES[level]), *cells, *_difference(seconds, _signed))
    return table


def _features(replay: Replay) -> Table:
    table = _table(replay, "lost (X disabled, F fallback)")
    spent = [trial.tally.features_s(trial.policy) for trial in replay.trials]
    names = dict.fromkeys(key for features in spent for key in features)
    lost = {key: [_lost_s(features.get(key)) for features in spent] for key in names}
    for key, seconds in sorted(lost.items(), key=lambda item: -max(item[1])):
        if max(seconds) > 0:
            cells = [_lost(features.get(key)) for features in spent]
            table.add_row(key, *cells, *_difference(seconds, _signed))
    if not table.row_count:
        table.add_row("none", *("-" for _ in table.columns[1:]))
    return table


def _lost_s(states: dict[FeatureState, float] | None) -> float:
    return sum(spent for state, spent in (states or {}).items() if state is not FeatureState.ENABLED)


def _lost(states: dict[FeatureState, float] | None) -> str:
    if states is None:
        return "unknown"
    words = (f"{letter} {span_text(states[state])}" for state, letter in LETTERS.items() if states[state])
    return " ".join(words) or "-"


def _scopes(replay: Replay) -> Table:
    table = _table(replay, "scopes that suffer most")
    unwell = [trial.tally.unwell_ms for trial in replay.trials]
    worst = dict.fromkeys(scope for scopes in unwell for scope, _ in scopes.most_common(SCOPES_SHOWN))
    for scope in worst:
        seconds = [scopes[scope] / 1000 for scopes in unwell]
        cells = [
            f"{span_text(spent)}, {trial.tally.changes[scope]} changes"
            for spent, trial in zip(seconds, replay.trials, strict=True)
        ]
        table.add_row(scope, *cells, *_difference(seconds, _signed))
    if not worst:
        table.add_row("none", *("-" for _ in table.columns[1:]))
    return table


def _timeline(replay: Replay) -> RenderableType:
    changes = sorted(
        (
            (change.at, change.scope, number, change)
            for number, trial in enumerate(replay.trials)
            for change in trial.tally.latest
        ),
        key=lambda row: row[:3],
    )
    if not changes:
        return Text("The level would never have changed", style="bold")
    lines = [Text(" last changes", style="bold dim")]
    for (at, scope), rows in groupby(changes, key=lambda row: row[:2]):
        here = [(replay.trials[number].name, change) for _, _, number, change in rows]
        lines.append(_moves(f" {at:%Y-%m-%d %H:%M:%S}  {scope}", here, named=len(replay.trials) > 1))
        causes = dict.fromkeys(change.cause for _, change in here)
        lines += [Text(f"   {cause}", style="dim") for cause in causes]
    return Group(*lines)


def _moves(where: str, changes: list[tuple[str, Change]], *, named: bool) -> Text:
    text = Text(where)
    for name, change in changes:
        text.append(f"  {name}: " if named else "  ").append(f"{change.source.name} > ")
        text.append(change.target.name, LEVEL_STYLES[change.target])
    return text


def _in_order(trial: Trial) -> list[Change]:
    return sorted(trial.tally.latest, key=lambda change: (change.at, change.scope))


def _table(replay: Replay, first: str) -> Table:
    table = Table(box=None, header_style="bold dim", padding=(0, 1))
    table.add_column(first, no_wrap=True, min_width=29)
    for trial in replay.trials:
        table.add_column(escape(trial.name), justify="right")
    if len(replay.trials) == PAIR:
        table.add_column("difference", justify="right")
    return table


def _difference(values: list[Any], say: Any) -> list[str]:
    if len(values) != PAIR:
        return []
    return [say(values[1] - values[0]) if values[0] != values[1] else "="]


def _signed(seconds: float) -> str:
    return ("+" if seconds > 0 else "-") + span_text(abs(seconds))


def _share(seconds: float, total: float) -> str:
    return f"{span_text(seconds)} {seconds / total:6.1%}" if total else "-"


def span_text(seconds: float) -> str:
    """Write a length of time for people, in its two largest units."""
    for size, unit, below, small in UNITS:
        if seconds >= size:
            return f"{int(seconds // size)}{unit}{int(seconds % size // below):02}{small}"
    return f"{seconds:.3g}s"
