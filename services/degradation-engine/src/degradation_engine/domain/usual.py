"""How long a dependency's probes usually take at this hour of the day, learnt from its reports.

A robust seasonal baseline of the logarithm of each report's quicker quarter: one level that follows within hours, and 24
departures from it that follow within days, both by exponential forgetting. A step is bounded, as Huber bounds influence,
so that neither a burst nor a leak of an hour becomes usual.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from resilience_contracts import EarlyWarning

from .instant import DAY_MS, MINUTE_MS, SECOND_MS
from .report import Result

HOURS = 24
HOUR_MS = DAY_MS // HOURS
HOUR_S = 3600.0
LEARNS_EVERY_MS = MINUTE_MS // 4
"""A report holds the last minute at the usual pace. To learn from each warns no better; once a minute, without cause."""
LEARNT_AFTER_S = HOUR_S
"""Nothing is unusual before so much of probing has been heard."""
HITS_NEEDED = 6
"""Fewer, as after a monitor's start, say nothing."""
QUARTER = 4
LEVEL_RATE, HOUR_RATE = 0.2, 0.6
"""How much of a departure is taken over within an hour of probing."""
LARGEST_STEP = 1.0
"""A departure counts as a factor of e at most."""
ENDS_AT = 0.6
"""A warning ends at this share of what began it."""
SHORTEST_MS = 0.001
DECIMALS = 6
"""Of what is stored: a millionth is less than any step that matters."""


@dataclass(slots=True)
class Usual:
    """Natural logarithms of milliseconds: `level`, and by hour of the day in UTC what is added to it."""

    heard_s: float = 0.0
    learnt_ms: int = 0
    level: float = 0.0
    hours: list[float] = field(default_factory=lambda: [0.0] * HOURS)

    def slowness(self, quick_ms: float, now_ms: int) -> float:
        """Return how many times its usual for this hour a dependency takes; 0 before an hour has been learnt."""
        if self.heard_s < LEARNT_AFTER_S:
            return 0.0
        return math.exp(_log(quick_ms) - self.level - self.hours[_hour(now_ms)])

    def due(self, now_ms: int) -> bool:
        """Say whether it is time to learn again."""
        return now_ms - self.learnt_ms >= LEARNS_EVERY_MS

    def learn(self, quick_ms: float, now_ms: int, interval_ms: int) -> None:
        """Take a report over, as the time since the last one; of a silence only as much as passes between two."""
        heard_s = min(now_ms - self.learnt_ms, LEARNS_EVERY_MS + interval_ms) / SECOND_MS
        self.learnt_ms = now_ms
        seen, hour = _log(quick_ms), _hour(now_ms)
        if not self.heard_s:
            self.level = round(seen, DECIMALS)
        departure = seen - self.level - self.hours[hour]
        step = max(-LARGEST_STEP, min(LARGEST_STEP, departure)) * heard_s / HOUR_S
        self.level = round(self.level + LEVEL_RATE * step, DECIMALS)
        self.hours[hour] = round(self.hours[hour] + HOUR_RATE * step, DECIMALS)
        self.heard_s = min(self.heard_s + heard_s, LEARNT_AFTER_S)


def quick_ms(recent: Sequence[Result]) -> float | None:
    """Return what three quarters of the answered probes in a report take at least; None where too few say so.

    The median would take a burst of half a minute for a trend, and the mean a single spike.
    """
    latencies_ms = sorted([seen.latency_ms for seen in recent if seen.outcome.hit])
    return latencies_ms[len(latencies_ms) // QUARTER] if len(latencies_ms) >= HITS_NEEDED else None


def trifling(rule: EarlyWarning, longest_ms: float, objective_ms: float) -> bool:
    """Say whether results that take so long at most are surely worth no warning, begun or not."""
    return longest_ms < rule.share_of_objective * objective_ms * ENDS_AT


def warned(rule: EarlyWarning, times: float, quick_ms: float, objective_ms: float, *, already: bool) -> bool:
    """Say whether a report is worth a warning: far above its usual, and no trifle against its objective."""
    share = ENDS_AT if already else 1.0
    least_ms = rule.share_of_objective * objective_ms
    return times >= rule.times_usual * share and quick_ms >= least_ms * share


def _log(latency_ms: float) -> float:
    return math.log(max(SHORTEST_MS, latency_ms))


def _hour(now_ms: int) -> int:
    return now_ms // HOUR_MS % HOURS
