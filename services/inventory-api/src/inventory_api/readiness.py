"""When to send traffic here: once it is known what may be done, or after a short wait for that."""

from __future__ import annotations

from resilience_runtime import Clock, Readiness


class Startup:
    """PostgreSQL plays no part: without it this service still answers, and a restart would help nobody."""

    def __init__(self, clock: Clock, ready_after_s: float) -> None:
        self._clock = clock
        self._unknown_is_fine_at_s = clock.monotonic() + ready_after_s
        self.restored = False
        self.caught_up = False

    def check(self) -> Readiness:
        """Return whether the features' states are known, or are taken as `unknown` by now."""
        waited = self._clock.monotonic() >= self._unknown_is_fine_at_s
        known = self.restored or self.caught_up
        checks = {"level_restored": self.restored, "level_caught_up": self.caught_up, "waited": waited}
        return Readiness(ready=known or waited, checks=checks)
