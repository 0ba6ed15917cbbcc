"""A limit on calls under way that finds its own value from how long calls take.

AIMD on queueing time, as in Netflix concurrency-limits: what a round of calls takes on average beyond the fastest
round lately seen is time spent in queues. Below the target the limit grows by one a round, above it shrinks by a
tenth, and so it does when a call runs into a deadline. Rounds, because single calls differ for reasons of their
own.

Two traps are avoided. Calls that all run into the same timeout look stable, so a timeout is never a measurement.
And under steady overload the fastest round comes to include queueing, so the limit is halved for one round from
time to time to see it anew (BBR does the same: Cardwell et al., ACM Queue 14(5), 2016).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from types import TracebackType
from typing import Self

from .errors import LimitReached


@dataclass(frozen=True, slots=True, kw_only=True)
class LimiterSettings:
    """How a limiter searches.

    Attributes:
        initial: limit to begin with.
        lowest: limit it never goes below.
        highest: limit it never goes above.
        queueing_s: time in queues that is tolerated.
        shrink: factor at each shrinking.
        refresh_s: after so long the fastest round is looked for anew; the first time after a tenth of it.
    """

    initial: int = 20
    lowest: int = 1
    highest: int = 1000
    queueing_s: float = 0.010
    shrink: float = 0.9
    refresh_s: float = 10.0

    def __post_init__(self) -> None:
        if not 1 <= self.lowest <= self.initial <= self.highest:
            raise ValueError("1 <= lowest <= initial <= highest is needed")
        if not 0 < self.shrink < 1:
            raise ValueError("shrink must lie between 0 and 1")
        if self.queueing_s <= 0 or self.refresh_s <= 0:
            raise ValueError("queueing_s and refresh_s must be above 0")


@dataclass(slots=True, eq=False)
class Slot:
    """Leave to make one call of a kind. Report it once."""

    started_s: float
    round: int
    kind: int
    spent: bool = False


class ConcurrencyLimiter:
    """Admits calls while fewer than the limit are under way: `acquire` and a report, or `async with limiter.slot():`.

    Args:
        settings: how it searches.
        clock: monotonic seconds.
    """

    def __init__(
        self, settings: LimiterSettings = LimiterSettings(), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.settings = settings
        self._clock = clock
        self._limit = float(settings.initial)
        self._in_flight = 0
        self._kinds: Counter[int] = Counter()
        self._fastest_s = inf
        self._typical_s = 0.0
        self._round = _Round(0)
        self._refresh_at_s = clock() + settings.refresh_s / 10
        self._before_refresh = 0.0

    @property
    def limit(self) -> int:
        """Calls that may be under way now."""
        return int(self._limit)

    @property
    def in_flight(self) -> int:
        """Calls under way."""
        return self._in_flight

    @property
    def typical_s(self) -> float:
        """How long a call of the last round took, in seconds; 0 before the first."""
        return self._typical_s

    def in_flight_of(self, kind: int) -> int:
        """Count the calls of a kind under way."""
        return self._kinds[kind]

    def acquire(self, kind: int = 0) -> Slot:
        """Take a slot.

        Raises:
            LimitReached: as many calls as the limit are under way.
        """
        if self._in_flight >= int(self._limit):
            self.wanted()
            raise LimitReached
        return self.take(kind)

    def take(self, kind: int = 0) -> Slot:
        """Take a slot even beyond the limit, for who has judged by a rule of its own, as `Shedder` does."""
        self._in_flight += 1
        self._kinds[kind] += 1
        return Slot(self._clock(), self._round.number, kind)

    def wanted(self) -> None:
        """Note that a call was refused, so that a higher limit is tried if answers are fast."""
        self._round.full = True

    def succeeded(self, slot: Slot) -> None:
        """Report that the call came back; how long it took teaches the limiter."""
        if not self._free(slot) or slot.round != self._round.number:
            return
        now_s = self._clock()
        self._round.add(now_s - slot.started_s)
        if self._round.calls >= max(_SMALLEST_ROUND, self.limit):
            self._learn(now_s)

    def dropped(self, slot: Slot) -> None:
        """Report that the call ran into its deadline or was refused for load; its time teaches nothing."""
        # Once a round: calls admitted before the last shrinking tell of the queue that it answered.
        if self._free(slot) and slot.round == self._round.number:
            self._before_refresh = 0.0
            self._begin_round(self._limit * self.settings.shrink)

    def released(self, slot: Slot) -> None:
        """Give a slot back that says nothing, as after a cancellation or an error that came for other reasons."""
        self._free(slot)

    def slot(self) -> LimitedBlock:
        """Return a guard for one block: a TimeoutError in it is a drop, another error or a cancellation is neutral."""
        return LimitedBlock(self)

    def _free(self, slot: Slot) -> bool:
        if slot.spent:
            return False
        slot.spent = True
        self._in_flight -= 1
        self._kinds[slot.kind] -= 1
        return True

    def _learn(self, now_s: float) -> None:
        mean_s, full = self._round.mean_s(), self._round.full
        self._typical_s = mean_s
        if self._before_refresh:
            self._fastest_s = mean_s
            limit, self._before_refresh = self._before_refresh, 0.0
            self._refresh_at_s = now_s + self.settings.refresh_s
        elif now_s >= self._refresh_at_s:
            limit, self._before_refresh = self._limit / 2, self._limit
        else:
            self._fastest_s = min(self._fastest_s, mean_s)
            limit = self._step(mean_s - self._fastest_s, full=full)
        self._begin_round(limit)

    def _step(self, queueing_s: float, *, full: bool) -> float:
        if queueing_s > self.settings.queueing_s:
            return self._limit * self.settings.shrink
        # A limit that nothing touches is not known to be safe.
        return self._limit + 1 if full else self._limit

    def _begin_round(self, limit: float) -> None:
        self._limit = min(max(limit, self.settings.lowest), self.settings.highest)
        self._round = _Round(self._round.number + 1)


@dataclass(slots=True)
class _Round:
    """Calls admitted under one limit: how many came back, how long they took, whether the limit was touched."""

    number: int
    calls: int = 0
    taken_s: float = 0.0
    full: bool = False

    def add(self, took_s: float) -> None:
        self.calls += 1
        self.taken_s += took_s

    def mean_s(self) -> float:
        return self.taken_s / self.calls


_SMALLEST_ROUND = 10
"""Calls from which a mean is taken."""


class LimitedBlock:
    """One block under a limiter."""

    __slots__ = ("_limiter", "_slot")

    def __init__(self, limiter: ConcurrencyLimiter) -> None:
        self._limiter = limiter

    async def __aenter__(self) -> Self:
        """Take a slot."""
        self._slot = self._limiter.acquire()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Report how the block ended."""
        if error is None:
            self._limiter.succeeded(self._slot)
        elif isinstance(error, TimeoutError):
            self._limiter.dropped(self._slot)
        else:
            self._limiter.released(self._slot)
