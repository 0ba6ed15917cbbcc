"""How long this process could not run its own tasks: an overloaded monitor must not blame its targets."""

from __future__ import annotations

from math import inf

from resilience_runtime import Clock

TICK_S = 0.1


class StallMeter:
    """Sums up by how much a regular tick of the event loop comes too late."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due_s = inf
        self._stalled_s = 0.0

    def stalled_s(self) -> float:
        """Return the total so far, a tick that is late right now included; it only grows."""
        return self._stalled_s + max(0.0, self._clock.monotonic() - self._due_s)

    async def run(self) -> None:
        """Tick for ever. What came before, as the import of drivers, does not count."""
        while True:
            self._due_s = self._clock.monotonic() + TICK_S
            await self._clock.sleep(TICK_S)
            self._stalled_s = self.stalled_s()
