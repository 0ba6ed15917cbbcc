"""Which calls to refuse first when not all can be served.

Classes are numbers, 0 the most important. A class may use the limit less the room that the classes above it are
expected to need: their rate of arrival times the time a call takes (Little's law). The room of a class is never
more than that of the class above it, so whenever a call is refused, every less important one would be too; and
while only unimportant calls come, they have the whole limit.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from math import exp, sqrt

from .errors import Shed
from .limiter import ConcurrencyLimiter, Slot


class _Rate:
    """Events each second, as a mean that forgets exponentially over `memory_s`."""

    def __init__(self, memory_s: float, now_s: float) -> None:
        self._memory_s = memory_s
        self._rate = 0.0
        self._at_s = now_s

    def add(self, now_s: float) -> None:
        self._rate = self.at(now_s) + 1 / self._memory_s
        self._at_s = now_s

    def at(self, now_s: float) -> float:
        return self._rate * exp(-max(0.0, now_s - self._at_s) / self._memory_s)


class Shedder:
    """Admits calls by class within a limiter's limit.

    Args:
        limiter: whose slots are given out; report them to it.
        classes: how many there are.
        memory_s: over how long rates of arrival are taken.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        limiter: ConcurrencyLimiter,
        classes: int,
        memory_s: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if classes < 1 or memory_s <= 0:
            raise ValueError("at least one class and a positive memory are needed")
        self._limiter = limiter
        self._clock = clock
        self._rates = [_Rate(memory_s, clock()) for _ in range(classes)]

    def room(self, importance: int) -> int:
        """Return how many calls of all classes may be under way for one of this class to be admitted."""
        now_s = self._clock()
        above = sum(rate.at(now_s) for rate in self._rates[:importance])
        needed = above * self._limiter.typical_s
        # Arrivals come in clumps: as many more as one standard deviation of a Poisson count.
        return max(0, int(self._limiter.limit - needed - sqrt(needed)))

    def acquire(self, importance: int) -> Slot:
        """Take a slot for a call of a class, 0 the most important.

        Raises:
            Shed: there is no room for this class now, and so for none below it.
            LimitReached: likewise, for any class.
        """
        self._rates[importance].add(self._clock())
        if importance and self._limiter.in_flight >= self.room(importance):
            raise Shed
        return self._limiter.acquire()
