"""The last N calls of a circuit breaker: O(1) memory and time per call."""

from __future__ import annotations

FAILED = 1
SLOW = 2


class CountWindow:
    """A ring of the last `size` outcomes with running counts."""

    __slots__ = ("_failed", "_next", "_ring", "_slow", "_total")

    def __init__(self, size: int) -> None:
        self._ring = bytearray(size)
        self._next = self._total = self._failed = self._slow = 0

    @property
    def total(self) -> int:
        """How many calls it holds."""
        return self._total

    def record(self, outcome: int) -> None:
        """Take one outcome (0, or FAILED and SLOW added up); the oldest leaves a full window."""
        ring, at = self._ring, self._next
        if self._total == len(ring):
            gone = ring[at]
            self._failed -= gone & FAILED
            self._slow -= gone >> 1
        else:
            self._total += 1
        ring[at] = outcome
        self._failed += outcome & FAILED
        self._slow += outcome >> 1
        self._next = at + 1 if at + 1 < len(ring) else 0

    def failure_rate(self) -> float:
        """Return failed calls as a share of all, 0 to 1; an empty window has 0."""
        return self._failed / self._total if self._total else 0.0

    def slow_rate(self) -> float:
        """Return slow calls as a share of all, 0 to 1; an empty window has 0."""
        return self._slow / self._total if self._total else 0.0
