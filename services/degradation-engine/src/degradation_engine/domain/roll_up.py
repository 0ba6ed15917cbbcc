"""A region's level out of those beneath it: a pure function of what they published last, and of nothing else.

Every worker comes to the same from the same records, so that whoever owns the region's partition next goes on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from resilience_contracts import (
    AutomaticFeature,
    DecidedBy,
    DependencyState,
    Health,
    HoldSet,
    Level,
    LevelChanged,
    LevelHold,
    LevelState,
    Policy,
    RolledUp,
    RollUp,
    RollUpRule,
    VersionPart,
    lineage,
    rolled_up,
)

from .announcement import MISSED_HEARTBEATS
from .feature_table import FeatureTable
from .instant import SECOND_MS, from_ms, to_ms
from .state import Hold, hold_of

HEALTHS = (Health.UP, Health.UNKNOWN, Health.IMPAIRED, Health.DOWN)
"""By rank, as far as a region is concerned."""
HUNDREDTHS = 100
NAMED = 5
PASSING = {"observed_at", "next_heartbeat_by", "version"}
"""What differs between two states that say the same."""


def parent_of(scope: str, roll_ups: Collection[str]) -> str | None:
    """Return the nearest scope above that is rolled up; of which a scope is a child."""
    return next((above for above in lineage(scope)[1:] if above in roll_ups), None)


@dataclass(frozen=True, slots=True)
class Child:
    """What counts of a scope beneath."""

    state: LevelState
    weight: int
    stale: bool


class Region:
    """One scope that is rolled up."""

    def __init__(self, scope: str, policy: Policy) -> None:
        self.scope = scope
        self._rule = policy.roll_ups[scope]
        self._policy = policy
        self._features = FeatureTable(policy)

    def state(
        self, children: Iterable[LevelState], before: LevelState | None, hold: HoldSet | None, now: datetime
    ) -> LevelState | None:
        """Return the region's state at a time, whatever the order of its children.

        Its version is that of `before`, what it published last, while it says the same, else the next one. It is
        stale while every child is.

        Returns:
            None while no child with a weight is known.
        """
        counted = [child for state in children if (child := self._child(state, now)).weight]
        automatic = self._rolled(counted, lambda state: state.known_level)
        if automatic is None:
            return None
        held = hold_of(hold) if hold else None
        level = held.effective(Level(automatic)) if held else Level(automatic)
        dependencies = self._dependencies(counted, before, now)
        down = frozenset(name for name, seen in dependencies.items() if seen.health is Health.DOWN)
        kept = before if before and before.level == level.name else None
        made = LevelState(
            scope=self.scope,
            version=VersionPart(epoch=to_ms(now) // SECOND_MS, counter=1),
            level=level.name,
            rank=level,
            previous_level=kept.previous_level if kept else before and before.level,
            automatic_level=Level(automatic).name,
            hold=_shown(held),
            score=_mean((child.weight, child.state.score) for child in counted),
            decided_by=DecidedBy.HOLD if held and level is held.level else DecidedBy.SCORE,
            cause=self._cause(counted, Level(automatic), held if held and level is held.level else None),
            dependencies=dependencies,
            features=self._states(level, down, before, now),
            roll_up=self._described(counted),
            stale=all(child.stale for child in counted),
            policy_sha256=self._policy.sha256,
            since=kept.since if kept else now,
            observed_at=now,
            next_heartbeat_by=now + MISSED_HEARTBEATS * timedelta(seconds=self._policy.timing.heartbeat_s),
        )
        return _versioned(made, before)

    def change(self, state: LevelState, before: LevelState | None) -> LevelChanged | None:
        """Return the change of level that a new state is, if it is one; a region begins at OPTIMAL."""
        rank, name = (before.rank, before.level) if before else (Level.OPTIMAL, Level.OPTIMAL.name)
        if state.level == name:
            return None
        old = before.features if before else {}
        altered = {
            key: seen.state
            for key, seen in state.features.items()
            if key not in old or old[key].state is not seen.state
        }
        return LevelChanged(
            scope=self.scope,
            version=state.version,
            from_level=name,
            from_rank=rank,
            to_level=state.level,
            to_rank=state.rank,
            decided_by=state.decided_by,
            cause=state.cause,
            score=state.score,
            dependencies={name: seen.health for name, seen in state.dependencies.items()},
            features=altered,
            changed_at=state.since,
        )

    def _child(self, state: LevelState, now: datetime) -> Child:
        return Child(state, self._rule.weight(state.scope), state.stale or now > state.next_heartbeat_by)

    def _rolled(self, children: Iterable[Child], rank: Callable[[LevelState], int]) -> int | None:
        return rolled_up(((rank(child.state), child.weight) for child in children), self._rule.needed)

    def _dependencies(
        self, children: list[Child], before: LevelState | None, now: datetime
    ) -> dict[str, DependencyState]:
        known = before.dependencies if before else {}
        made = {}
        for name in self._policy.dependencies:
            having = [child for child in children if name in child.state.dependencies]
            health = self._health(having, name)
            if health is None:
                continue
            old = known.get(name)
            seen = [(child, child.state.dependencies[name]) for child in having]
            made[name] = DependencyState(
                health=health,
                score=_mean((child.weight, one.score) for child, one in seen),
                since=old.since if old and old.health is health else now,
                stale=all(child.stale or one.stale for child, one in seen),
            )
        return made

    def _health(self, children: list[Child], name: str) -> Health | None:
        rank = self._rolled(children, lambda state: HEALTHS.index(state.dependencies[name].health))
        return None if rank is None else HEALTHS[rank]

    def _states(
        self, level: Level, down: frozenset[str], before: LevelState | None, now: datetime
    ) -> dict[str, AutomaticFeature]:
        known = before.features if before else {}
        return {
            key: AutomaticFeature(
                state=new.state,
                because=new.because,
                detail=new.detail,
                since=known[key].since if key in known and known[key].state is new.state else now,
            )
            for key, new in self._features.at(level, down).items()
        }

    def _described(self, children: list[Child]) -> RolledUp:
        counts = Counter(child.state.known_level for child in children)
        share = self._rule.share_percent
        return RolledUp(
            rule=self._rule.rule,
            share_percent=None if share is None else share / HUNDREDTHS,
            children={level.name: counts[level] for level in sorted(counts)},
        )

    def _cause(self, children: list[Child], automatic: Level, held: Hold | None) -> str:
        at = sorted(child.state.scope for child in children if child.state.known_level >= automatic)
        more = f" and {len(at) - NAMED} more" if len(at) > NAMED else ""
        silent = sum(child.stale for child in children)
        parts = [
            *([f"held at {held.level.name} by {held.actor}: {held.reason}"] if held else []),
            f"{len(at)} of {len(children)} beneath at {automatic.name} or worse: {', '.join(at[:NAMED])}{more}",
            *([f"{silent} of them silent"] if silent else []),
            _told(self._rule),
        ]
        return "; ".join(parts)[:1000]


def _told(rule: RollUp) -> str:
    if rule.rule is RollUpRule.WORST:
        return "the worst counts"
    return f"{rule.needed / HUNDREDTHS:g}% of the weight count"


def _versioned(made: LevelState, before: LevelState | None) -> LevelState:
    if before is None:
        return made
    if made.model_dump(exclude=PASSING) == before.model_dump(exclude=PASSING):
        return made.model_copy(update={"version": before.version})
    version = before.version
    return made.model_copy(update={"version": VersionPart(epoch=version.epoch, counter=version.counter + 1)})


def _mean(weighed: Iterable[tuple[int, float]]) -> float:
    pairs = list(weighed)
    return round(sum(weight * score for weight, score in pairs) / sum(weight for weight, _ in pairs), 2)


def _shown(held: Hold | None) -> LevelHold | None:
    if held is None:
        return None
    return LevelHold(
        hold_id=held.hold_id,
        level=held.level.name,
        rank=held.level,
        reason=held.reason,
        actor=held.actor,
        expires_at=from_ms(held.expires_ms),
    )
