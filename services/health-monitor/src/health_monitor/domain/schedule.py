"""When the next probe of a dependency is due. Times are monotonic seconds."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor
from random import Random

from .window import Window

JITTER = 0.1
REPROBE_S = 1.0


@dataclass(frozen=True, slots=True)
class Schedule:
    """Probes on a grid `phase_s + k x interval_s`, each late by up to a tenth of the interval.

    A grid, and not "interval after the last", keeps the dependencies staggered for ever; the jitter keeps
    several monitors from probing one server in step. Jitter only delays, so no grid point is used twice.
    """

    interval_s: float
    phase_s: float

    def next_due_s(self, now_s: float, window: Window, random: Random) -> float:
        """Return when to probe next, given what was seen up to `now_s`.

        A miss that is not confirmed yet is probed again after a second, or an interval if that is shorter.
        After a 429 nothing is sent before its Retry-After has passed.
        """
        due_s = self._next_on_grid_s(now_s) + random.uniform(0, JITTER) * self.interval_s
        if window.unconfirmed:
            soon_s = min(REPROBE_S, self.interval_s)
            return min(due_s, now_s + soon_s * random.uniform(1 - JITTER, 1 + JITTER))
        pause_s = (window.last and window.last.retry_after_s) or 0.0
        return max(due_s, now_s + pause_s * random.uniform(1, 1 + JITTER))

    def _next_on_grid_s(self, now_s: float) -> float:
        due_s = self.phase_s + (floor((now_s - self.phase_s) / self.interval_s) + 1) * self.interval_s
        # Rounding may land the product on `now_s` itself.
        return due_s if due_s > now_s else due_s + self.interval_s


def phase_s(start_s: float, index: int, count: int, shortest_interval_s: float) -> float:
    """Return the grid's origin of the dependency `index` of `count`: spread over at most a second."""
    return start_s + min(1.0, shortest_interval_s) * index / count
