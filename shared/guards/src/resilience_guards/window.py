"""What the last calls were like: the last N of them, or those of the last seconds. O(1) memory and time a call.

A window holds two bits for each call, FAILED and SLOW. Counters are kept by adding the new and subtracting the
evicted, and equal a recount at any time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

FAST = 0
FAILED = 1
SLOW = 2
_EMPTY = 4


@dataclass(frozen=True, slots=True)
class Counts:
    """Calls in a window; a slow failure counts as failed and as slow."""

    calls: int
    failed: int
    slow: int


class Window(Protocol):
    """Counters over recent calls. `not_permitted` counts the calls refused while it was in use."""

    calls: int
    failed: int
    slow: int
    not_permitted: int

    def record(self, bits: int, now_s: float) -> bool:
        """Add a call (FAILED | SLOW bits); say whether the rates may have risen or become known."""

    def counts(self, now_s: float) -> Counts:
        """Count the calls that lie in the window at `now_s`; changes nothing."""


class CallWindow:
    """The last `size` calls, one byte each."""

    __slots__ = ("_at", "_last", "_ring", "calls", "failed", "not_permitted", "slow")

    def __init__(self, size: int) -> None:
        self._ring = bytearray([_EMPTY]) * size
        self._last = size - 1
        self._at = 0
        self.calls = self.failed = self.slow = self.not_permitted = 0

    def record(self, bits: int, now_s: float) -> bool:  # noqa: ARG002 - a window over calls needs no clock
        """Add a call in place of the oldest."""
        at = self._at
        ring = self._ring
        evicted = ring[at]
        self._at = at + 1 if at != self._last else 0
        if evicted == bits:
            return False
        ring[at] = bits
        if evicted == _EMPTY:
            self.calls += 1
            evicted = FAST
        self.failed += (bits & FAILED) - (evicted & FAILED)
        self.slow += (bits >> 1) - (evicted >> 1)
        return True

    def counts(self, now_s: float) -> Counts:  # noqa: ARG002 - see record
        """Count all calls kept."""
        return Counts(self.calls, self.failed, self.slow)


class TimeWindow:
    """The calls of the last `buckets` whole buckets of `bucket_s` seconds, the current one included.

    Buckets lie on multiples of `bucket_s` of the clock, so the window's length varies between `buckets - 1`
    and `buckets` of them, as in resilience4j. A clock that steps back adds to the newest bucket and evicts
    nothing.
    """

    __slots__ = ("_bucket_s", "_buckets", "_head", "_size", "calls", "failed", "not_permitted", "slow")

    def __init__(self, buckets: int, bucket_s: float) -> None:
        self._size = buckets
        self._bucket_s = bucket_s
        self._buckets = [[0, 0, 0] for _ in range(buckets)]
        self._head = -1
        self.calls = self.failed = self.slow = self.not_permitted = 0

    def record(self, bits: int, now_s: float) -> bool:
        """Add a call to the current bucket."""
        index = int(now_s // self._bucket_s)
        if index > self._head:
            self._advance(index)
        bucket = self._buckets[self._head % self._size]
        bucket[0] += 1
        self.calls += 1
        if bits:
            bucket[1] += bits & FAILED
            bucket[2] += bits >> 1
            self.failed += bits & FAILED
            self.slow += bits >> 1
        # Without a failed or slow call no rate can reach a threshold, which is above 0.
        return self.failed > 0 or self.slow > 0

    def _advance(self, index: int) -> None:
        for passed in range(max(self._head + 1, index - self._size + 1), index + 1):
            bucket = self._buckets[passed % self._size]
            self.calls -= bucket[0]
            self.failed -= bucket[1]
            self.slow -= bucket[2]
            bucket[:] = (0, 0, 0)
        self._head = index

    def counts(self, now_s: float) -> Counts:
        """Count the buckets still in the window at `now_s`."""
        oldest = int(now_s // self._bucket_s) - self._size + 1
        kept = [
            self._buckets[index % self._size]
            for index in range(max(oldest, self._head - self._size + 1), self._head + 1)
        ]
        return Counts(*(sum(bucket[part] for bucket in kept) for part in range(3)))
