"""How many requests a caller may make: a sliding window, approximated by two fixed ones.

The estimate is `previous * (1 - elapsed share) + current`, the counter that Cloudflare describes in "How we
built rate limiting capable of scaling to millions of domains" (2017): two numbers for each caller.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from math import ceil

CALLERS_MOST = 10_000


@dataclass(slots=True)
class Count:
    """Requests of one caller.

    `current` and `previous` are totals as last heard of all replicas, `unshared` what this one has since let pass.
    """

    window: int
    current: int = 0
    previous: int = 0
    unshared: int = 0

    def roll(self, window: int) -> None:
        """Move on to a window, or begin anew in one long past: a clock set back must hold nobody until it is there again."""
        if not self.window - 1 <= window <= self.window:
            self.previous = self.current + self.unshared if window == self.window + 1 else 0
            self.window, self.current, self.unshared = window, 0, 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a request may pass; how many more may; seconds until the window ends, or until to come back."""

    passed: bool
    remaining: int
    wait_s: int


class Quota:
    """Counts requests by caller.

    Args:
        limit: requests in a window.
        window_s: its length.
    """

    def __init__(self, limit: int, window_s: int) -> None:
        self.limit = limit
        self.window_s = window_s
        self._counts: OrderedDict[str, Count] = OrderedDict()

    def take(self, caller: str, now_s: float, *, must_pass: bool = False) -> Verdict:
        """Count a request of a caller at a time, unless it is refused. What must pass is counted too."""
        window, elapsed = divmod(now_s, self.window_s)
        count = self._count(caller, int(window))
        share = elapsed / self.window_s
        used = count.previous * (1 - share) + count.current + count.unshared
        if used + 1 > self.limit and not must_pass:
            return Verdict(passed=False, remaining=0, wait_s=self._wait_s(count, share))
        count.unshared += 1
        return Verdict(
            passed=True,
            remaining=max(0, int(self.limit - used - 1)),
            wait_s=max(1, ceil(self.window_s - elapsed)),
        )

    def unshared(self) -> dict[str, Count]:
        """Return the counts of which other replicas have not heard everything."""
        return {caller: count for caller, count in self._counts.items() if count.unshared}

    def heard(self, caller: str, window: int, shared: int, current: int, previous: int) -> None:
        """Take the totals of a window, in which `shared` of this replica's own requests are included now."""
        count = self._counts.get(caller)
        if count is not None and count.window == window:
            count.unshared -= min(shared, count.unshared)
            count.current = max(current, count.current)
            count.previous = max(previous, count.previous)

    def _count(self, caller: str, window: int) -> Count:
        count = self._counts.get(caller)
        if count is None:
            count = self._counts[caller] = Count(window)
            if len(self._counts) > CALLERS_MOST:
                self._counts.popitem(last=False)
        count.roll(window)
        self._counts.move_to_end(caller)
        return count

    def _wait_s(self, count: Count, share: float) -> int:
        """Return when `previous * (1 - share) + current + 1` is back at the limit, in this window or the next."""
        own = count.current + count.unshared
        free = self.limit - own - 1
        if free >= 0 and count.previous:
            return max(1, ceil((1 - free / count.previous - share) * self.window_s))
        into_next = max(0.0, 1 - (self.limit - 1) / max(own, 1))
        return max(1, ceil((1 - share + into_next) * self.window_s))
