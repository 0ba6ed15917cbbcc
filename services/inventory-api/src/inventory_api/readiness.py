"""When to send traffic here: once it is known what may be done, or after a short wait for that."""

from __future__ import annotations

from collections.abc import Callable

from resilience_runtime import Clock, Readiness


class Startup:
    """Nothing is waited for beyond `ready_after_s`.

    A database that is away holds nothing up: without it this service still answers, and a restart would help
    nobody. One that is there and new is given the time to be prepared.

    Attributes:
        restored, caught_up: whether a level is known, from disk or from the topic.
    """

    def __init__(self, clock: Clock, ready_after_s: float, schema_tried: Callable[[], bool]) -> None:
        self._clock = clock
        self._end_s = clock.monotonic() + ready_after_s
        self._schema_tried = schema_tried
        self.restored = False
        self.caught_up = False

    def check(self) -> Readiness:
        """Return whether the features' states are known, or are taken as `unknown` by now."""
        waited = self._clock.monotonic() >= self._end_s
        known = (self.restored or self.caught_up) and self._schema_tried()
        checks = {
            "level_restored": self.restored,
            "level_caught_up": self.caught_up,
            "schema_tried": self._schema_tried(),
            "waited": waited,
        }
        return Readiness(ready=known or waited, checks=checks)
