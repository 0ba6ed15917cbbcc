"""Whether the server takes writes. What is read hides that from the circuit breaker: a full disk reads as ever."""

from __future__ import annotations

from collections import deque

WATCHED = 20
MANY = 5
CALM = 10
"""What still fits into a full disk succeeds in between: only so many in a row say that it takes writes again."""
QUIET_S = 60.0
"""So long after the last failure nothing is held against it any more: in a quiet shop ten writes may take the night."""


class Writes:
    """The newest writes, and what they say; moments are seconds of one clock that only goes forward."""

    def __init__(self) -> None:
        self._failed: deque[bool] = deque(maxlen=WATCHED)
        self._refused = False
        self._failed_s = float("-inf")

    def note(self, now_s: float, *, failed: bool) -> None:
        """Take the next one: whether it failed by the server's fault."""
        if failed and not self._recent(now_s):
            self.forget()
        self._failed.append(failed)
        if failed:
            self._failed_s = now_s
        if not any(list(self._failed)[-CALM:]):
            self._refused = False
        elif sum(self._failed) >= MANY:
            self._refused = True

    def refused(self, now_s: float) -> bool:
        """Say whether many of the newest failed, and too few have succeeded in a row since, a short while ago."""
        return self._refused and self._recent(now_s)

    def forget(self) -> None:
        """Begin anew."""
        self._failed.clear()
        self._refused = False

    def _recent(self, now_s: float) -> bool:
        return now_s - self._failed_s < QUIET_S
