"""Which calls to refuse first when not all can be served.

Classes are numbers, 0 the most important. A call is weighed against those of its own class and above: the ones
under way, and the ones that are expected and not yet under way, by their rate of arrival times the time a call
takes (Little's law). Less important calls that are under way already are no reason to refuse it, and a clump of
important calls may queue for a moment beyond the limit: less important ones make up for it, since none of them is
let in before there is room again. What is weighed only grows from one class to the next and what is allowed only
shrinks, so whenever a call is refused, every less important one would be too; and while only unimportant calls come,
they have the whole limit.
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

    def room_left_for(self, importance: int) -> float:
        """Return for how many calls of the classes above this one room must be left."""
        now_s, typical_s = self._clock(), self._limiter.typical_s
        left = 0.0
        for above, rate in enumerate(self._rates[:importance]):
            expected = rate.at(now_s) * typical_s
            # Arrivals come in clumps: as many more as one standard deviation of a Poisson count.
            left += max(0.0, expected + sqrt(expected) - self._limiter.in_flight_of(above))
        return left

    def has_room(self, importance: int) -> bool:
        """Say whether a call of this class would be admitted now, consuming nothing."""
        under_way = sum(map(self._limiter.in_flight_of, range(importance + 1)))
        return under_way + self.room_left_for(importance) < self._limit_of(importance)

    def _limit_of(self, importance: int) -> float:
        limit, least = self._limiter.limit, len(self._rates) - 1
        # The least important class has the limit, the most important three standard deviations of a clump more.
        return limit + 3 * sqrt(limit) * (least - importance) / least if least else limit

    def acquire(self, importance: int) -> Slot:
        """Take a slot of the limiter for a call of a class, 0 the most important.

        Raises:
            Shed: there is no room for this class now, and so for none below it.
        """
        self._rates[importance].add(self._clock())
        if not self.has_room(importance):
            self._limiter.wanted()
            raise Shed
        return self._limiter.take(importance)
