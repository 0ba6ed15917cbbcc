"""How long to wait before the next attempt."""

from __future__ import annotations

from random import Random


class Backoff:
    """Doubling delays with equal jitter.

    Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.

    Args:
        first_s: upper bound of the first delay, in seconds.
        most_s: upper bound of every delay, in seconds.
    """

    def __init__(self, random: Random, first_s: float = 0.1, most_s: float = 2.0) -> None:
        self._random = random
        self._first_s = first_s
        self._most_s = most_s
        self._attempt = 0

    def next_s(self) -> float:
        """Return the next delay in seconds, between half and all of its bound."""
        bound_s: float = min(self._most_s, self._first_s * 2 ** min(self._attempt, 30))
        self._attempt += 1
        return bound_s * self._random.uniform(0.5, 1.0)

    def reset(self) -> None:
        """Begin again with the first delay."""
        self._attempt = 0
