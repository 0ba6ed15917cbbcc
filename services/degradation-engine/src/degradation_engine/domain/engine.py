"""The engine: every scope of a partition, and nothing but what its callers tell it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from itertools import islice
from math import ceil

from resilience_contracts import DecidedBy, Event, HoldSet, Level, LevelState, Policy, Version

from .feature_table import FeatureTable
from .instant import DAY_MS, MINUTE_MS, SECOND_MS, span_ms, to_ms
from .refusal import RefusalReason, Refused
from .report import Report
from .scope import Scope
from .state import Hold, ScopeState, dump, hold_of, load

AHEAD_MS = MINUTE_MS
"""An observer's clock may be so far ahead of the log's."""
BEHIND_MS = DAY_MS
"""Older than the health topic keeps: no honest report takes so long."""
SCOPES_LIMIT = 20_000
HEARTBEATS_AT_ONCE = 5
"""More would not help a backlog, which goes through many heartbeats' time in a second; one costs as much as ten events."""


class Engine:
    """Turns health events into levels.

    `now` is the time of the log: when the event was stored, or the wall clock once everything stored is read.
    Each scope keeps its own clock, which only goes forward. Every method returns what must be published, in
    order; to publish the same twice is harmless.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._features = FeatureTable(policy)
        self._scopes: dict[str, Scope] = {}
        self._holds: dict[str, Hold] = {}
        self._announced_ms: dict[str, int] = {}

    @property
    def scopes(self) -> list[str]:
        """Names of the scopes that are known."""
        return list(self._scopes)

    def observe(self, event: Report, now: datetime) -> list[Event]:
        """Take one health event. A scope begins with a monitor's: breakers alone say too little for a level.

        Raises:
            Refused: unknown dependency, a time that cannot be, more observers or scopes than are kept, or a scope that
                is rolled up.
        """
        now_ms, observed_ms = to_ms(now), to_ms(event.observed_at)
        self._check(event, observed_ms - now_ms)
        scope = self._scopes.get(event.scope)
        if scope is None:
            if event.probe is None:
                return []
            if event.scope in self.policy.roll_ups:
                raise Refused(
                    RefusalReason.ROLLED_UP, f"the level of {event.scope!r} follows from those beneath"
                )
            scope = Scope(self._newborn(event.scope, now_ms), self.policy, self._features)
            self._scopes[event.scope] = scope
        return self._announced(event.scope, scope.observe(event, observed_ms, now_ms))

    def tick(self, now: datetime) -> list[Event]:
        """Let time pass for every scope: dwell times, silence, expiry, and heartbeats.

        With a tick a second, heartbeats that are due together are spread over half of their interval.
        """
        now_ms, heartbeat_s = to_ms(now), self.policy.timing.heartbeat_s
        events: list[Event] = []
        for name, scope in self._scopes.items():
            if told := scope.advance(now_ms):
                events += self._announced(name, told)
        before_ms = now_ms - span_ms(heartbeat_s)
        due = (name for name in self._scopes if self._announced_ms.get(name, 0) <= before_ms)
        beats = HEARTBEATS_AT_ONCE + ceil(2 * len(self._scopes) / heartbeat_s)
        return events + [event for name in islice(due, beats) for event in self._beat(name)]

    def hold(self, hold: HoldSet, now: datetime) -> list[Event]:
        """Put an operator's hold on a scope's level. A hold on a feature is the consumers' business."""
        held = hold_of(hold)
        if held is None:
            return []
        self._holds[hold.scope] = held
        return self._apply_hold(hold.scope, held, to_ms(now))

    def end_hold(self, scope: str, now: datetime) -> list[Event]:
        """End the hold on a scope's level, if there is one."""
        self._holds.pop(scope, None)
        return self._apply_hold(scope, None, to_ms(now))

    def hold_only(self, holds: Mapping[str, HoldSet], now: datetime) -> list[Event]:
        """Make exactly these the holds on levels in force, by scope."""
        ended = [scope for scope in self._holds if scope not in holds]
        set_anew = [hold for scope, hold in holds.items() if self._holds.get(scope) != hold_of(hold)]
        events = [event for scope in ended for event in self.end_hold(scope, now)]
        return events + [event for hold in set_anew for event in self.hold(hold, now)]

    def restore(self, state_json: bytes) -> str:
        """Take over a stored scope and return its name.

        Raises:
            StateUnreadable: not a state of this schema; the scope's state is lost.
        """
        scope = Scope(load(state_json), self.policy, self._features)
        scope.resume()
        self._scopes[scope.state.name] = scope
        if scope.state.hold is not None:
            self._holds[scope.state.name] = scope.state.hold
        return scope.state.name

    def succeed(self, published: LevelState, now: datetime) -> None:
        """Take over a scope whose state was lost from what it published last: same level, next epoch."""
        now_ms = to_ms(now)
        level = Level.__members__.get(published.automatic_level, published.known_level)
        state = self._newborn(published.scope, now_ms, published.version.epoch + 1)
        state.automatic = state.effective = level
        state.since_ms = to_ms(published.since)
        if published.decided_by is not DecidedBy.HOLD:
            state.decided_by = published.decided_by
        self._scopes[published.scope] = Scope(state, self.policy, self._features)

    def outrun(self, scope: str, published: Version) -> None:
        """Make sure that the next announcement of a scope is newer than one that went out before."""
        state = self._scopes[scope].state
        if state.version < published:
            state.epoch, state.counter = published.epoch, published.counter + 1

    def knows(self, scope: str) -> bool:
        """Say whether a scope has begun."""
        return scope in self._scopes

    def dump(self, scope: str) -> bytes:
        """Return a scope's state, to be stored.

        Raises:
            KeyError: no such scope.
        """
        return dump(self._scopes[scope].state)

    def version(self, scope: str) -> Version:
        """Return the version of a scope's last announcement.

        Raises:
            KeyError: no such scope.
        """
        return self._scopes[scope].state.version

    def _check(self, event: Report, ahead_ms: int) -> None:
        if event.dependency not in self.policy.dependencies:
            raise Refused(RefusalReason.UNKNOWN_DEPENDENCY, f"the policy knows no {event.dependency!r}")
        if ahead_ms > AHEAD_MS:
            raise Refused(
                RefusalReason.TIME_AHEAD, f"observed {ahead_ms // SECOND_MS} s after the log's time"
            )
        if -ahead_ms > BEHIND_MS:
            raise Refused(
                RefusalReason.TIME_BEHIND, f"observed {-ahead_ms // SECOND_MS} s before the log's time"
            )
        if event.scope not in self._scopes and len(self._scopes) >= SCOPES_LIMIT:
            raise Refused(RefusalReason.TOO_MANY_SCOPES, f"{SCOPES_LIMIT} scopes are kept")

    def _newborn(self, name: str, now_ms: int, epoch: int = 0) -> ScopeState:
        """Epochs are seconds since 1970, so that even with everything lost a new one beats the old."""
        return ScopeState(
            name=name,
            epoch=max(epoch, now_ms // SECOND_MS),
            counter=0,
            clock_ms=now_ms,
            born_ms=now_ms,
            heard_ms=now_ms,
            awake_ms=now_ms,
            since_ms=now_ms,
            hold=self._holds.get(name),
        )

    def _apply_hold(self, name: str, hold: Hold | None, now_ms: int) -> list[Event]:
        scope = self._scopes.get(name)
        if scope is None:
            return []
        return self._announced(name, scope.advance(now_ms) + scope.hold(hold))

    def _beat(self, name: str) -> list[Event]:
        return self._announced(name, [self._scopes[name].current()])

    def _announced(self, name: str, events: list[Event]) -> list[Event]:
        if events:
            self._announced_ms[name] = self._scopes[name].state.clock_ms
        return events
