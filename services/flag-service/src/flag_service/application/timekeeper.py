"""What happens by the passing of time: holds end, silent levels go stale, ends are written."""

from __future__ import annotations

from random import Random

import structlog

from flag_service.domain.switchboard import Switchboard
from resilience_runtime.bus import PublishError
from resilience_runtime.clock import Clock
from resilience_runtime.pulse import Pulse

from .desk import HoldDesk

LOOK_AGAIN_S = 1.0
WRITE_AFTER_S = (0.2, 2.0)

_log = structlog.get_logger(__name__)


class Timekeeper:
    """Watches the wall clock; it looks again every second, because that clock may be set."""

    def __init__(
        self, switchboard: Switchboard, desk: HoldDesk, pulse: Pulse, clock: Clock, rng: Random
    ) -> None:
        self._switchboard = switchboard
        self._desk = desk
        self._pulse = pulse
        self._clock = clock
        self._rng = rng

    async def keep_time(self) -> None:
        """Let holds end and levels go stale when their time has come, for ever."""
        while True:
            now = self._clock.now()
            self._switchboard.advance(now)
            deadline = self._switchboard.next_deadline
            left_s = (deadline - now).total_seconds() if deadline else LOOK_AGAIN_S
            await self._pulse.wait(min(max(left_s, 0.0), LOOK_AGAIN_S))

    async def write_ends(self) -> None:
        """Write the end of expired holds, for ever.

        Every replica waits for another time before it looks, so that mostly one of them writes. Readers do
        not wait for it: they ignore an expired hold.
        """
        while True:
            await self._clock.sleep(self._rng.uniform(*WRITE_AFTER_S))
            try:
                await self._desk.write_expired()
            except PublishError as error:
                _log.warning("end of a hold not written yet", reason=str(error))
