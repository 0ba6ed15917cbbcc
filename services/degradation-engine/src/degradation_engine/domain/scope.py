"""One scope over time: reports and the passing of time go in, announcements come out.

Every due moment is met exactly: time that jumps ahead stops at each deadline on the way, so what comes out
depends on the events and their times alone, never on how often anybody looked.
"""

from __future__ import annotations

from collections.abc import Iterator

from resilience_contracts import Event, Health, Level, LevelState, Policy

from .announcement import decided_by, expect, level_changed, level_state
from .dependency import Judgement, Track, judge, unseen_until_ms
from .feature_table import FeatureTable, Resolutions
from .instant import SECOND_MS, span_ms
from .outage import follow
from .report import Report
from .sighting import Sighting
from .state import Hold, ScopeState
from .transition import Evidence, deadline_ms, move

STORED_WITHIN_MS = 10 * SECOND_MS
"""Every scope's state is stored at least so often while reports come in."""


class Scope:
    """The state of a scope with the rules that move it. `due_ms` is when it next changes by itself."""

    def __init__(self, state: ScopeState, policy: Policy, features: FeatureTable) -> None:
        self.state = state
        self.due_ms: int | None = state.clock_ms
        self._policy = policy
        self._features = features
        self._merge_ms = span_ms(policy.timing.promote_dwell_s)
        self._calm = False  # nothing is stale and nothing pends: one dependency can then be judged by itself
        self._fit()

    def observe(self, event: Report, observed_ms: int, now_ms: int) -> list[Event]:
        """Take a report, made at one instant and heard at another.

        Raises:
            Refused: too many observers report on the dependency.
        """
        track, seen_ms = (
            self.state.tracks[event.dependency],
            min(observed_ms, max(self.state.clock_ms, now_ms)),
        )
        track.check_room(event, seen_ms)
        events = self.advance(now_ms)
        sighting = track.take(event, self._policy, seen_ms)
        if sighting is None:
            return events
        if event.probe is not None:
            self._hear(seen_ms)
        if self._calm and self._says_the_same(event.dependency, sighting):
            return events
        return events + self.evaluate()

    def advance(self, now_ms: int) -> list[Event]:
        """Let time pass until an instant; one in the past changes nothing."""
        events: list[Event] = []
        if self._calm and self.due_ms is not None and self.due_ms <= now_ms:
            self.due_ms = self._next_due_ms()  # reports that said the same have put it off
        while self.due_ms is not None and self.due_ms <= now_ms:
            self.state.clock_ms = max(self.state.clock_ms, self.due_ms)
            events += self.evaluate()
        self.state.clock_ms = max(self.state.clock_ms, now_ms)
        return events

    def hold(self, hold: Hold | None) -> list[Event]:
        """Put a hold on the level, or end the one in force with None."""
        if hold is not None and (hold.expires_ms <= self.state.clock_ms or hold == self.state.hold):
            return []
        self.state.hold = hold
        return self.evaluate()

    def resume(self) -> None:
        """Take over after an absence; reports of the last moments before it may be missing."""
        stored_ms = self.state.clock_ms
        for track in self.state.tracks.values():
            track.excuse(stored_ms, stored_ms + STORED_WITHIN_MS)

    def current(self) -> LevelState:
        """Return the state as of the scope's clock, its version unchanged."""
        return level_state(self.state, self._policy, self._resolve(), expect(self.state, self._policy))

    def evaluate(self, *, always: bool = False) -> list[Event]:
        """Judge everything at the scope's clock; `always` announces even what did not change."""
        before, came_from, features = self._digest(), self.state.effective, self._resolve()
        judgements = dict(self._judgements())
        self._follow_outages(judgements)
        evidence = Evidence.of(self._policy, judgements, self._probed())
        self.state.score = evidence.score
        move(self.state, self._policy, evidence)
        self._apply_hold()
        self.due_ms = self._next_due_ms()
        self._calm = evidence.settled and not evidence.silent and self.state.pending is None
        if self._digest() == before and not always:
            return []
        return list(self._announce(came_from, features))

    def _says_the_same(self, name: str, sighting: Sighting) -> bool:
        """Say whether a report leaves every judgement as it was; most do, and the rest need not be looked at.

        The next due moment may then come too early, which costs an evaluation, and never too late.
        """
        track = self.state.tracks[name]
        if not track.unmoved(sighting, self.state.clock_ms):
            judged = judge(track, name, self._policy, self.state)
            if not track.agrees(judged):
                return False
            self._follow_outages({name: judged})
        overdue_ms = sighting.overdue_ms() + 1
        self.due_ms = overdue_ms if self.due_ms is None else min(self.due_ms, overdue_ms)
        return True

    def _hear(self, seen_ms: int) -> None:
        if self.state.silent:
            self.state.awake_ms = self.state.clock_ms
        self.state.heard_ms = max(self.state.heard_ms, seen_ms)

    def _announce(self, came_from: Level, before: Resolutions) -> Iterator[Event]:
        state, after = self.state, self._resolve()
        state.counter += 1
        remaining = expect(state, self._policy)
        altered = self._features.changed(before, after)
        state.features_since_ms.update(dict.fromkeys(altered, state.clock_ms))
        if state.effective != came_from:
            state.previous, state.since_ms = came_from, state.clock_ms
            yield level_changed(state, self._policy, came_from, altered, remaining)
        yield level_state(state, self._policy, after, remaining)

    def _judgements(self) -> Iterator[tuple[str, Judgement]]:
        state = self.state
        for name, track in state.tracks.items():
            judged = judge(track, name, self._policy, state)
            track.settle(judged, state.clock_ms)
            yield name, judged

    def _follow_outages(self, judgements: dict[str, Judgement]) -> None:
        for name, judged in judgements.items():
            if judged.source is not None:
                track = self.state.tracks[name]
                down = judged.health is Health.DOWN
                track.outages = follow(track.outages, judged.source.run, down=down, merge_ms=self._merge_ms)

    def _probed(self) -> frozenset[str]:
        return frozenset(name for name, track in self.state.tracks.items() if track.probes)

    def _apply_hold(self) -> None:
        state = self.state
        if state.hold is not None and state.hold.expires_ms <= state.clock_ms:
            state.hold = None
        state.effective = state.hold.effective(state.automatic) if state.hold else state.automatic

    def _resolve(self) -> Resolutions:
        down = frozenset(name for name, track in self.state.tracks.items() if track.health is Health.DOWN)
        return self._features.at(self.state.effective, down)

    def _digest(self) -> tuple[object, ...]:
        state = self.state
        return (
            state.automatic,
            state.effective,
            decided_by(state),
            state.silent,
            state.pending,
            state.hold,
            *((track.health, track.stale, track.disagreement) for track in state.tracks.values()),
        )

    def _next_due_ms(self) -> int | None:
        return min((due for due in self._deadlines() if due > self.state.clock_ms), default=None)

    def _deadlines(self) -> Iterator[int]:
        state = self.state
        for name, track in state.tracks.items():
            if not track.probes and not track.breakers:
                yield unseen_until_ms(name, self._policy, state.born_ms) + 1
            for seen in track.sightings():
                yield seen.overdue_ms() + 1
                if seen.counted_ms < state.awake_ms:
                    yield seen.overdue_ms(state.awake_ms) + 1
                yield seen.silent_ms(state.awake_ms) + 1
        if state.hold is not None:
            yield state.hold.expires_ms
        moving = deadline_ms(state, self._policy)
        if moving is not None:
            yield max(moving, state.clock_ms + 1) if state.pending is not None else moving

    def _fit(self) -> None:
        """Fit a stored state to the policy of today: dependencies and features may have come and gone."""
        state, policy = self.state, self._policy
        state.tracks = {
            name: state.tracks.get(name) or Track(since_ms=state.clock_ms) for name in policy.dependencies
        }
        state.features_since_ms = {
            key: state.features_since_ms.get(key, state.since_ms) for key in policy.features
        }
