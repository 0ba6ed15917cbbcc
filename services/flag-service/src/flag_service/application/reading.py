"""The moment when the topics have been read: the switchboard takes over what was read."""

from __future__ import annotations

from flag_service.domain.switchboard import Switchboard
from resilience_runtime.bus import Reader
from resilience_runtime.clock import Clock
from resilience_runtime.http import Readiness
from resilience_runtime.pulse import Pulse


class Reading:
    """Waits for a reader to catch up, at the start and after each time it begins anew."""

    def __init__(self, switchboard: Switchboard, reader: Reader, pulse: Pulse, clock: Clock) -> None:
        self._switchboard = switchboard
        self._reader = reader
        self._pulse = pulse
        self._clock = clock

    async def run(self) -> None:
        """Finish each reading, for ever."""
        while True:
            await self._reader.wait_caught_up()
            self._switchboard.finish_reading(self._clock.now())
            self._pulse.beat()
            while self._switchboard.caught_up:
                await self._pulse.wait(None)


def readiness(board: Switchboard, reader: Reader) -> Readiness:
    """Say whether callers may be sent here: something is known, from the topics or from the disk."""
    checks = {
        "caught_up": board.caught_up,
        "restored": board.restored,
        "feed_age_s": reader.last_record_age_s(),
    }
    return Readiness(ready=board.caught_up or board.restored, checks=checks)
