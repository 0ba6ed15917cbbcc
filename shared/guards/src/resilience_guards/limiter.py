"""A limit on calls under way that finds its own value from how long calls take.

AIMD on queueing time, as in Netflix concurrency-limits: the time a call takes beyond the least time lately seen
is spent in queues. Below the target the limit grows by about one for each round of calls, above it shrinks by a
tenth, and so it does when a call runs into a deadline.

Two traps are avoided. Calls that all run into the same timeout look stable, so a timeout is never a measurement.
And under steady overload the least time lately seen comes to include queueing, so the limit is halved for a round
from time to time to see the least time anew (BBR does the same: Cardwell et al., ACM Queue 14(5), 2016).
"""

from __future__ import annotations

import time
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
        refresh_s: after so long the least time is looked for anew.
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
    """Leave to make one call. Report it once."""

    started_s: float
    round: int
    spent: bool = False


class ConcurrencyLimiter:
    """Admits calls while fewer than the limit are under way: `acquire` and a report, or `async with limiter.slot():`.

    Args:
        clock: monotonic seconds.
    """

    def __init__(
        self, settings: LimiterSettings = LimiterSettings(), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.settings = settings
        self._clock = clock
        self._limit = float(settings.initial)
        self._in_flight = 0
        self._least_s = inf
        self._typical_s = 0.0
        self._round = 0
        self._refresh_at_s = clock() + settings.refresh_s
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
        """How long a call takes lately, in seconds; 0 before the first came back."""
        return self._typical_s

    def acquire(self) -> Slot:
        """Take a slot.

        Raises:
            LimitReached: as many calls as the limit are under way.
        """
        if self._in_flight >= int(self._limit):
            raise LimitReached
        self._in_flight += 1
        return Slot(self._clock(), self._round)

    def succeeded(self, slot: Slot) -> None:
        """Report that the call came back; how long it took teaches the limiter."""
        now_s = self._clock()
        full = self._in_flight * 2 > self._limit
        if not self._free(slot):
            return
        took_s = now_s - slot.started_s
        self._typical_s += (took_s - self._typical_s) * (0.1 if self._typical_s else 1.0)
        self._least_s = min(self._least_s, took_s)
        if took_s - self._least_s > self.settings.queueing_s:
            self._shrink(slot)
        elif full and not self._before_refresh:
            self._limit = min(self._limit + 1 / self._limit, self.settings.highest)
        self._refresh(slot, now_s)

    def dropped(self, slot: Slot) -> None:
        """Report that the call ran into its deadline or was refused for load; its time teaches nothing."""
        if self._free(slot):
            if self._before_refresh:
                self._refreshed(self._limit)
            self._shrink(slot)

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
        return True

    def _shrink(self, slot: Slot) -> None:
        # Once a round: the calls admitted before the last shrinking all tell of the same queue.
        if slot.round == self._round and not self._before_refresh:
            self._round += 1
            self._limit = max(self._limit * self.settings.shrink, self.settings.lowest)

    def _refresh(self, slot: Slot, now_s: float) -> None:
        if self._before_refresh:
            if slot.round == self._round:
                self._refreshed(self._before_refresh)
        elif now_s >= self._refresh_at_s:
            self._round += 1
            self._before_refresh = self._limit
            self._limit = max(self._limit / 2, self.settings.lowest)
            self._least_s = inf

    def _refreshed(self, limit: float) -> None:
        self._limit = limit
        self._before_refresh = 0.0
        self._refresh_at_s = self._clock() + self.settings.refresh_s


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
