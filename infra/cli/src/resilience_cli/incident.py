"""What happened to a scope in a stretch of time, put together from records of the topics. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from resilience_contracts import (
    AdjustmentCommand,
    AuditRecorded,
    BreakerState,
    CodecError,
    CountCommand,
    Event,
    FeatureState,
    HealthObserved,
    Level,
    LevelChanged,
    Topic,
    UnknownEventError,
    decode,
)
from resilience_runtime.bus import Message

from .letters import DEAD_LETTER_TOPICS, letters

TOPICS = (Topic.LEVEL_CHANGES, Topic.AUDIT, Topic.HEALTH, Topic.COMMANDS, *DEAD_LETTER_TOPICS)
BURST = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the timeline."""

    at: datetime
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class AtLevel:
    """How long a scope was at a level: in all, and at a stretch."""

    level: str
    total: timedelta
    longest: timedelta


@dataclass(frozen=True, slots=True)
class Lost:
    """A feature that was not ENABLED for a while; `until` is None when it still is not."""

    feature: str
    worst: FeatureState
    since: datetime
    until: datetime | None
    total: timedelta


@dataclass(frozen=True, slots=True)
class Report:
    """An incident as far as the topics tell it; `begin_level` is None when no change tells it."""

    scope: str
    since: datetime
    until: datetime
    begin_level: str | None
    end_level: str | None
    worst_level: str | None
    levels: list[AtLevel]
    lost: list[Lost]
    timeline: list[Entry]


def report(messages: Iterable[Message], scope: str, since: datetime, until: datetime) -> Report:
    """Tell what happened; records that nobody can read are among the dead letters and not here.

    Args:
        messages: records of TOPICS, in any order.
        scope: whose levels, holds and breakers; writes and dead letters are everybody's.
        since: the beginning of the stretch of time.
        until: its end.
    """
    found = [message for message in messages if since <= _written(message) < until]
    dead = [message for message in found if message.topic in DEAD_LETTER_TOPICS]
    events = [event for event in _events(found) if since <= event.time < until]
    changes = list(
        _told_once(event for event in events if isinstance(event, LevelChanged) and event.scope == scope)
    )
    stretches = list(_stretches(changes, since, until))
    timeline = [
        *map(_changed, changes),
        *_holds(events, scope),
        *_breakers(events, scope),
        *_writes(events),
        *_dead_letters(dead),
    ]
    ranks = {change.from_level: change.from_rank for change in changes}
    ranks |= {change.to_level: change.to_rank for change in changes}
    return Report(
        scope=scope,
        since=since,
        until=until,
        begin_level=changes[0].from_level if changes else None,
        end_level=changes[-1].to_level if changes else None,
        worst_level=max(ranks, key=lambda name: ranks[name], default=None),
        levels=_at_levels(stretches, ranks),
        lost=_lost(changes, since, until),
        timeline=sorted(timeline, key=lambda entry: entry.at),
    )


def _told_once(changes: Iterable[LevelChanged]) -> Iterator[LevelChanged]:
    newest: LevelChanged | None = None
    for change in sorted(changes, key=lambda each: each.version.ordered()):
        if newest is None or not change.repeats(newest):
            newest = change
            yield change


def _events(messages: Iterable[Message]) -> Iterator[Event]:
    for message in messages:
        if message.topic in DEAD_LETTER_TOPICS or not message.value:
            continue
        try:
            yield decode(message.value, message.headers).event
        except (CodecError, UnknownEventError):
            continue


def _written(message: Message) -> datetime:
    return datetime.fromtimestamp(message.timestamp_ms / 1000, UTC)


def _changed(change: LevelChanged) -> Entry:
    return Entry(
        change.changed_at,
        "level",
        f"{change.from_level} -> {change.to_level} ({change.decided_by.value}): {change.cause}",
    )


def _stretches(
    changes: Sequence[LevelChanged], since: datetime, until: datetime
) -> Iterator[tuple[str, timedelta]]:
    begin, level = since, changes[0].from_level if changes else None
    for change in changes:
        if level is not None:
            yield level, change.changed_at - begin
        begin, level = change.changed_at, change.to_level
    if level is not None:
        yield level, until - begin


def _at_levels(stretches: Sequence[tuple[str, timedelta]], ranks: dict[str, int]) -> list[AtLevel]:
    by_level: defaultdict[str, list[timedelta]] = defaultdict(list)
    for level, length in stretches:
        by_level[level].append(length)
    known = sorted(by_level, key=lambda name: ranks.get(name, Level.OPTIMAL))
    return [AtLevel(name, sum(by_level[name], timedelta()), max(by_level[name])) for name in known]


def _lost(changes: Sequence[LevelChanged], since: datetime, until: datetime) -> list[Lost]:
    """Follow each feature through the changes; one that comes back without having gone was lost before."""
    away: dict[str, tuple[datetime, FeatureState]] = {}
    spells: defaultdict[str, list[tuple[datetime, datetime | None, FeatureState]]] = defaultdict(list)
    seen: set[str] = set()
    for change in changes:
        for feature, state in change.features.items():
            began = away.get(feature)
            if state is FeatureState.ENABLED and began:
                spells[feature].append((began[0], change.changed_at, began[1]))
                del away[feature]
            elif state is FeatureState.ENABLED and feature not in seen:
                spells[feature].append((since, change.changed_at, FeatureState.FALLBACK))
            elif state is not FeatureState.ENABLED:
                away[feature] = (began[0] if began else change.changed_at, _worse(state, began))
            seen.add(feature)
    for feature, (began_at, worst) in away.items():
        spells[feature].append((began_at, None, worst))
    return [_sum_up(feature, some, until) for feature, some in sorted(spells.items())]


def _worse(state: FeatureState, began: tuple[datetime, FeatureState] | None) -> FeatureState:
    return FeatureState.DISABLED if began and began[1] is FeatureState.DISABLED else state


def _sum_up(
    feature: str, spells: Sequence[tuple[datetime, datetime | None, FeatureState]], until: datetime
) -> Lost:
    disabled = any(worst is FeatureState.DISABLED for *_, worst in spells)
    total = sum(((end or until) - begin for begin, end, _ in spells), timedelta())
    worst = FeatureState.DISABLED if disabled else FeatureState.FALLBACK
    return Lost(feature, worst, spells[0][0], spells[-1][1], total)


def _holds(events: Iterable[Event], scope: str) -> Iterator[Entry]:
    for event in events:
        if isinstance(event, AuditRecorded) and event.scope == scope:
            after = event.after or {}
            pinned = after.get("level") or after.get("state")
            until = f" until {after['expires_at']}" if after.get("expires_at") else ""
            to = f" at {pinned}{until}" if pinned else ""
            yield Entry(
                event.recorded_at, event.action, f"{event.target}{to}, by {event.actor}: {event.reason}"
            )


def _breakers(events: Iterable[Event], scope: str) -> Iterator[Entry]:
    """Yield each change of each breaker; the first state that is seen counts unless it is CLOSED."""
    states: dict[tuple[str, str], BreakerState] = {}
    reports = [event for event in events if isinstance(event, HealthObserved) and event.scope == scope]
    for event in sorted(reports, key=lambda one: one.observed_at):
        if event.breaker is None:
            continue
        place = (event.observer, event.dependency)
        before, state = states.get(place, BreakerState.CLOSED), event.breaker.state
        states[place] = state
        if state is not before:
            text = f"{event.dependency} at {event.observer}: {before.value} -> {state.value}"
            yield Entry(event.observed_at, "breaker", text)


def _writes(events: Iterable[Event]) -> Iterator[Entry]:
    times = sorted(
        event.accepted_at for event in events if isinstance(event, AdjustmentCommand | CountCommand)
    )
    for begin, count in _bursts(times):
        yield Entry(begin, "writes", f"{count} accepted, to be applied once PostgreSQL is back")


def _dead_letters(messages: Sequence[Message]) -> Iterator[Entry]:
    by_reason: defaultdict[tuple[str, str], list[datetime]] = defaultdict(list)
    for letter in letters(messages):
        by_reason[letter.message.topic, letter.reason].append(letter.at)
    for (topic, reason), times in by_reason.items():
        for begin, count in _bursts(sorted(times)):
            yield Entry(begin, "dead letters", f"{count} in {topic}: {reason}")


def _bursts(times: Sequence[datetime]) -> Iterator[tuple[datetime, int]]:
    """Gather times that follow one another within a minute; yield the first of each gathering, and how many."""
    begin, last, count = None, None, 0
    for time in times:
        if begin is None or last is None or time - last > BURST:
            if begin is not None:
                yield begin, count
            begin, count = time, 0
        last, count = time, count + 1
    if begin is not None:
        yield begin, count
