"""Whether the server takes writes. What is read hides that from the circuit breaker: a full disk reads as ever."""

from __future__ import annotations

from collections import deque

WATCHED = 20
MANY = 5
CALM = 10
"""What still fits into a full disk succeeds in between: only so many in a row say that it takes writes again."""


class Writes:
    """The newest writes, and what they say.

    Attributes:
        refused: many of the newest failed, and too few have succeeded in a row since.
    """

    def __init__(self) -> None:
        self._failed: deque[bool] = deque(maxlen=WATCHED)
        self.refused = False

    def note(self, *, failed: bool) -> None:
        """Take the next one: whether it failed by the server's fault."""
        self._failed.append(failed)
        if not any(list(self._failed)[-CALM:]):
            self.refused = False
        elif sum(self._failed) >= MANY:
            self.refused = True

    def forget(self) -> None:
        """Begin anew."""
        self._failed.clear()
        self.refused = False
