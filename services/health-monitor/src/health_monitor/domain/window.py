"""The last observations of one dependency."""

from __future__ import annotations

from dataclasses import dataclass, replace

from resilience_contracts import Observation

from .outcome import Result

CAPACITY = 12
CONFIRMED = 3


@dataclass(frozen=True, slots=True)
class Window:
    """At most twelve observations, oldest first; `last` is the newest with everything known of it."""

    recent: tuple[Observation, ...] = ()
    last: Result | None = None

    def add(self, result: Result, observation: Observation) -> Window:
        """Return the window with one more observation, without the oldest when it is full."""
        return replace(self, recent=(*self.recent, observation)[-CAPACITY:], last=result)

    @property
    def consecutive_misses(self) -> float:
        """Misses since the last hit: a rate-limited probe is half of one, one that says nothing is none."""
        total = 0.0
        for observation in reversed(self.recent):
            if not observation.outcome.counts:
                continue
            if not observation.outcome.miss:
                break
            total += observation.outcome.miss
        return total

    @property
    def unconfirmed(self) -> bool:
        """Whether the last probe was a full miss that too few others confirm yet."""
        missed = bool(self.recent) and self.recent[-1].outcome.miss == 1
        return missed and self.consecutive_misses < CONFIRMED
