"""From level and dependencies to the state of a feature, and to the time a refused caller should wait."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from random import Random

from .events import Recovery
from .feature import Because, FeatureState, worst
from .level import Level
from .policy import FeatureRule

RETRY_AFTER_MIN_S = 1
RETRY_AFTER_MAX_S = 300
RETRY_AFTER_WITHOUT_PREDICTION_S = (15.0, 45.0)


@dataclass(frozen=True, slots=True)
class Resolution:
    """A feature's automatic state and why."""

    state: FeatureState
    because: Because
    detail: str


def resolve(rule: FeatureRule, level: Level, down: AbstractSet[str]) -> Resolution:
    """Return the worst of what the level, the hard and the soft dependencies allow.

    Where a dependency and the level say the same, the dependency is named: it is the closer cause.
    """
    by_level = rule.at(level)
    hard, soft = sorted(rule.hard & down), sorted(rule.soft & down)
    by_dependency = _by_dependency(hard, soft)
    state = worst(by_level, by_dependency)
    if state is not FeatureState.ENABLED and state is by_dependency:
        missing = hard or soft
        return Resolution(state, Because.DEPENDENCY, f"{' and '.join(missing)} DOWN{_means(rule, state)}")
    return Resolution(state, Because.LEVEL, f"level {level.name}{_means(rule, state)}")


def resolve_unknown(rule: FeatureRule) -> Resolution:
    """Return the state for a consumer that has heard nothing of the level yet."""
    detail = f"no level is known yet{_means(rule, rule.unknown)}"
    return Resolution(rule.unknown, Because.UNKNOWN, detail)


def _by_dependency(hard: list[str], soft: list[str]) -> FeatureState:
    if hard:
        return FeatureState.DISABLED
    return FeatureState.FALLBACK if soft else FeatureState.ENABLED


def _means(rule: FeatureRule, state: FeatureState) -> str:
    return f": {rule.fallback}" if state is FeatureState.FALLBACK and rule.fallback else ""


def retry_after_s(recovery: Recovery | None, rng: Random) -> int:
    """Draw the seconds a refused caller should wait: between q10 and q50, so that callers spread out.

    Whole seconds from 1 to 300; without a prediction, 15 to 45.
    """
    low, high = (recovery.q10_s, recovery.q50_s) if recovery else RETRY_AFTER_WITHOUT_PREDICTION_S
    drawn = rng.uniform(low, max(low, high))
    return min(max(round(drawn), RETRY_AFTER_MIN_S), RETRY_AFTER_MAX_S)
