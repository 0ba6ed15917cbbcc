"""The last probes of each dependency, as the console draws them. Levels are the engine's; this decides nothing."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime

from resilience_contracts import BreakerState, HealthObserved, Observation

POINTS = 60
KEYS = 4_000
"""Dependencies of all scopes that are kept; of more, those heard of first."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The last probes of a dependency, oldest first, and the breaker of each service that reported one."""

    probes: tuple[Observation, ...]
    breakers: dict[str, BreakerState]

    @property
    def last_at(self) -> datetime | None:
        """When the newest probe ended."""
        return self.probes[-1].at if self.probes else None

    @property
    def p95_ms(self) -> float | None:
        """95th percentile of what answered probes took, in milliseconds."""
        took = sorted(probe.latency_ms for probe in self.probes if probe.outcome.hit)
        return took[len(took) * 95 // 100] if took else None

    @property
    def error_share(self) -> float | None:
        """Share of probes that missed, 0 to 1; half a miss counts half."""
        counted = [probe.outcome.miss for probe in self.probes if probe.outcome.counts]
        return sum(counted) / len(counted) if counted else None


@dataclass(slots=True)
class _Kept:
    probes: deque[Observation] = field(default_factory=lambda: deque(maxlen=POINTS))
    newest: dict[str, datetime] = field(default_factory=dict)
    breakers: dict[str, BreakerState] = field(default_factory=dict)


class Vitals:
    """What observers reported lately, by scope and dependency."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], _Kept] = {}

    def apply(self, event: HealthObserved) -> None:
        """Take a report; probes that came before, with another report, are taken once."""
        key = (event.scope, event.dependency)
        if key not in self._kept and len(self._kept) >= KEYS:
            return
        kept = self._kept.setdefault(key, _Kept())
        if event.breaker is not None:
            kept.breakers[event.observer] = event.breaker.state
        elif event.probe is not None:
            newest = kept.newest.get(event.observer)
            fresh = [probe for probe in event.probe.recent if newest is None or probe.at > newest]
            kept.probes.extend(fresh)
            kept.newest[event.observer] = event.probe.recent[-1].at

    def of(self, scope: str, dependency: str) -> Reading:
        """Return what is known of a dependency; without reports, a reading without probes."""
        kept = self._kept.get((scope, dependency), _Kept())
        probes = sorted(kept.probes, key=lambda probe: probe.at)
        return Reading(tuple(probes), dict(sorted(kept.breakers.items())))
