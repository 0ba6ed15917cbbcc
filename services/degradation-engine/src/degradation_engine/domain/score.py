"""What one report says of a dependency, as numbers (degradation-policy, section 3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from resilience_contracts import BreakerState, Health

from .report import Breaker

T = TypeVar("T")

FULL = 10_000
"""A perfect score, in hundredths of a point."""
DOWN_BELOW = 2_500
IMPAIRED_BELOW = 8_000
STALE_CAP = 7_000
UNKNOWN_CAP = 5_000

REMEMBERED = 1024
"""Scores kept: nearly all reports are of a few kinds."""

WINDOW = 12
FORGIVEN_MISSES = 1
CONFIRMING_MISSES = 3
EWMA_WEIGHT = 0.2
LATENCY_SHARE = 0.3

TRAFFIC: dict[BreakerState, float] = {
    BreakerState.CLOSED: 1.0,
    BreakerState.HALF_OPEN: 0.5,
    BreakerState.OPEN: 0.25,
    BreakerState.FORCED_OPEN: 0.0,
}
"""B by breaker state; DISABLED and METRICS_ONLY are absent because they say nothing."""


def consecutive(misses: float) -> float:
    """Return C: up to one miss in a row changes nothing, two halve the score, three end it."""
    return min(1.0, max(0.0, (CONFIRMING_MISSES - misses) / (CONFIRMING_MISSES - FORGIVEN_MISSES)))


def window(misses: float) -> float:
    """Return W from the misses among the last twelve results."""
    return 1.0 - max(0.0, misses - FORGIVEN_MISSES) / (WINDOW - FORGIVEN_MISSES)


def latency(latencies_ms: Sequence[float], objective_ms: float) -> float:
    """Return L, the moving average of how well each successful probe met its objective; 1 without any."""
    if not latencies_ms or max(latencies_ms) <= objective_ms:
        return 1.0
    average: float | None = None
    for latency_ms in latencies_ms:
        met = 1.0 if latency_ms <= objective_ms else max(0.0, 1.0 - (latency_ms / objective_ms - 1.0) / 2.0)
        average = met if average is None else average + EWMA_WEIGHT * (met - average)
    return 1.0 if average is None else average


def traffic(report: Breaker) -> float | None:
    """Return B of one breaker, or None when it says nothing about the dependency."""
    if report.state is BreakerState.CLOSED and report.failure_rate is not None:
        return 1.0 - report.failure_rate
    return TRAFFIC.get(report.state)


def speed(report: Breaker) -> float:
    """Return L as real traffic meets it: the share of calls that were not slow, while the breaker lets all through."""
    slow_rate = report.slow_rate if report.state is BreakerState.CLOSED else None
    return 1.0 - (slow_rate or 0.0)


def trailing_misses(misses: Sequence[float]) -> float:
    """Return the misses since the last hit."""
    total = 0.0
    for miss in reversed(misses):
        if not miss:
            break
        total += miss
    return total


@lru_cache(maxsize=REMEMBERED)
def dependency_score(presence: float, latency_share: float, believed_traffic: float) -> int:
    """Return a dependency's score in hundredths: 100 x min(C, W, B) x (0.7 + 0.3 L)."""
    share = 1.0 - LATENCY_SHARE + LATENCY_SHARE * latency_share
    return round(FULL * min(presence, believed_traffic) * share)


def health_of(score: int) -> Health:
    """Return the health that a score in hundredths stands for."""
    if score < DOWN_BELOW:
        return Health.DOWN
    return Health.IMPAIRED if score < IMPAIRED_BELOW else Health.UP


def overall(weights: Mapping[str, int], scores: Mapping[str, int]) -> int:
    """Return the weighted sum of the scores, in whole hundredths."""
    return sum(weight * scores[name] for name, weight in weights.items()) // 100


def middle(items: Iterable[T], rank: Callable[[T], Any]) -> T:
    """Return the median by rank; of an even number the better of the two in the middle.

    So of two observers the better one is believed, and one broken observer cannot black out a shop.
    """
    ordered = sorted(items, key=rank)
    return ordered[len(ordered) // 2]
