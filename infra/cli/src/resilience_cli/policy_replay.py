"""What levels a policy would have given over a log of health events: the engine itself, and sums over its words.

The engine is degradation-engine's own pure domain, so that a replay cannot disagree with the service. Holds of
operators are left out: it is the policy that is on trial.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import IO

from degradation_engine.domain import Engine, Refused
from resilience_contracts import (
    Event,
    FeatureState,
    HealthObserved,
    Level,
    LevelChanged,
    LevelState,
    Policy,
)

from .console import tame
from .policy_log import Entry, line_of_entry

States = tuple[FeatureState, ...]
MILLISECOND = timedelta(milliseconds=1)
SKIPS_KEPT = 3


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a scope's level."""

    at: datetime
    scope: str
    source: Level
    target: Level
    decided_by: str
    cause: str


@dataclass(slots=True)
class Tally:
    """What one policy would have done.

    Attributes:
        spent_ms: time by level and by the states of the features, in the policy's order; over all scopes.
        unwell_ms: time not at OPTIMAL by scope, for scopes that have some.
        changes: how many changes by scope.
        worse: how many of all changes were for the worse.
        latest: the last changes, oldest first.
        refused: events the engine did not take, by reason.
    """

    latest: deque[Change]
    spent_ms: Counter[tuple[Level, States]] = field(default_factory=Counter)
    unwell_ms: Counter[str] = field(default_factory=Counter)
    changes: Counter[str] = field(default_factory=Counter)
    worse: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    def levels_s(self) -> dict[Level, float]:
        """Return the seconds at each level, over all scopes."""
        spent = dict.fromkeys(Level, 0.0)
        for (level, _), ms in self.spent_ms.items():
            spent[level] += ms / 1000
        return spent

    def features_s(self, policy: Policy) -> dict[str, dict[FeatureState, float]]:
        """Return the seconds in each state by feature, over all scopes."""
        spent = {key: dict.fromkeys(FeatureState, 0.0) for key in policy.features}
        for (_, states), ms in self.spent_ms.items():
            for key, state in zip(policy.features, states, strict=True):
                spent[key][state] += ms / 1000
        return spent


@dataclass(frozen=True, slots=True)
class _Since:
    at: datetime
    level: Level
    states: States


class Trial:
    """One policy on trial. Memory grows with scopes, never with the length of the log.

    Args:
        name: what people call the policy.
        policy: what to judge by.
        kept: how many of the last changes to keep.
    """

    def __init__(self, name: str, policy: Policy, kept: int) -> None:
        self.name = name
        self.policy = policy
        self.tally = Tally(deque(maxlen=kept))
        self._engine = Engine(policy)
        self._open: dict[str, _Since] = {}
        self._states: dict[States, States] = {}

    def take(self, event: HealthObserved, stored_at: datetime, begin: datetime) -> None:
        """Take the next event of the log; time and changes count from `begin` on."""
        try:
            self._note(self._engine.observe(event, stored_at), begin)
        except Refused as error:
            self.tally.refused[error.reason.value] += 1

    def finish(self, begin: datetime, end: datetime) -> None:
        """Let time pass until the end of the log, sum up, and forget every scope."""
        self._note(self._engine.tick(end), begin)
        for scope, since in self._open.items():
            self._spend(scope, since, begin, end)
        self._engine = Engine(self.policy)
        self._open.clear()

    def _note(self, events: Iterable[Event], begin: datetime) -> None:
        for event in events:
            if isinstance(event, LevelChanged) and event.changed_at >= begin:
                self._count(event)
            elif isinstance(event, LevelState):
                self._follow(event, begin)

    def _count(self, event: LevelChanged) -> None:
        source, target = Level.from_rank(event.from_rank), Level.from_rank(event.to_rank)
        self.tally.changes[event.scope] += 1
        self.tally.worse += target > source
        self.tally.latest.append(
            Change(event.changed_at, event.scope, source, target, event.decided_by.value, event.cause)
        )

    def _follow(self, state: LevelState, begin: datetime) -> None:
        before = self._open.get(state.scope)
        if before is not None:
            self._spend(state.scope, before, begin, state.observed_at)
        states = tuple(feature.state for feature in state.features.values())
        shared = self._states.setdefault(states, states)
        self._open[state.scope] = _Since(state.observed_at, state.known_level, shared)

    def _spend(self, scope: str, since: _Since, begin: datetime, until: datetime) -> None:
        ms = (until - max(since.at, begin)) // MILLISECOND
        if ms <= 0:
            return
        self.tally.spent_ms[since.level, since.states] += ms
        if since.level is not Level.OPTIMAL:
            self.tally.unwell_ms[scope] += ms


class Replay:
    """Several policies over one log; a `policy_log.Reader`.

    Args:
        policies: by the name that people know them by.
        begin: from when on to count; what is stored before only settles the levels. None: from the first event.
        end: until when; None: until the last event.
        scope: the only one to look at; None: all.
        kept: how many of the last changes to keep.
        save: takes a copy of every event that is looked at.
    """

    def __init__(
        self,
        policies: Mapping[str, Policy],
        *,
        begin: datetime | None = None,
        end: datetime | None = None,
        scope: str | None = None,
        kept: int = 20,
        save: IO[bytes] | None = None,
    ) -> None:
        self.trials = tuple(Trial(name, policy, kept) for name, policy in policies.items())
        self.begin = begin
        self.end = end
        self.events = 0
        self.scopes = 0
        self.first_at: datetime | None = None
        self.dependencies: Counter[str] = Counter()
        self.skipped = 0
        self.skips: list[str] = []
        self._scope = scope
        self._save = save
        self._here: set[str] = set()
        self._last_at: datetime | None = None

    def take(self, entry: Entry) -> None:
        """Show an event to every policy."""
        event = entry.event
        if self._scope is not None and event.scope != self._scope:
            return
        if self._save is not None:
            self._save.write(line_of_entry(entry))
        self.events += 1
        self.dependencies[event.dependency] += 1
        self._here.add(event.scope)
        self.first_at = min(self.first_at or entry.stored_at, entry.stored_at)
        self._last_at = max(self._last_at or entry.stored_at, entry.stored_at)
        self.begin = self.begin or entry.stored_at
        for trial in self.trials:
            trial.take(event, entry.stored_at, self.begin)

    def skip(self, place: str, reason: str) -> None:
        """Count what cannot be read, and keep the first few reasons."""
        self.skipped += 1
        if len(self.skips) < SKIPS_KEPT:
            self.skips.append(f"{place}: {tame(reason)}")

    def close(self) -> None:
        """End a part of the log: let time pass until the end, sum up, and forget its scopes."""
        self.scopes += len(self._here)
        self._here.clear()
        if self.begin is None or self._last_at is None:
            return
        self.end = self.end or self._last_at
        for trial in self.trials:
            trial.finish(self.begin, self.end)
