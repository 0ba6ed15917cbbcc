"""From a score and a set of DOWN dependencies to the level they call for (degradation-policy, section 2)."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from resilience_contracts import DecidedBy, Level, Policy


@dataclass(frozen=True, slots=True)
class Target:
    """The level that the evidence calls for, and the level that an immediate floor demands at once."""

    level: Level
    decided_by: DecidedBy
    immediate: Level


def level_of_score(policy: Policy, score: int, current: Level) -> Level:
    """Return the best level whose boundary the score reaches.

    Args:
        policy: boundaries and promotion margin, in hundredths.
        score: overall score in hundredths.
        current: levels better than this one need the margin on top.
    """
    for level, boundary in sorted(policy.levels.boundaries.items()):
        margin = policy.levels.promotion_margin if level < current else 0
        if score >= boundary + margin:
            return level
    return Level.EMERGENCY


def target(policy: Policy, score: int, down: AbstractSet[str], current: Level) -> Target:
    """Return the level called for: the score's, bounded by ceilings, then by floors, which win."""
    by_score = level_of_score(policy, score, current)
    level, decided_by = by_score, DecidedBy.SCORE
    for ceiling in policy.levels.ceilings:
        if ceiling.not_down not in down and ceiling.at_most < level:
            level, decided_by = ceiling.at_most, DecidedBy.CEILING
    floors = [floor for floor in policy.levels.floors if floor.holds(frozenset(down))]
    for floor in floors:
        if floor.at_least > level:
            level, decided_by = floor.at_least, DecidedBy.FLOOR
    immediate = max((floor.at_least for floor in floors if floor.immediate), default=Level.OPTIMAL)
    return Target(level, decided_by, immediate)
