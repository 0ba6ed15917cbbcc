"""Tells the streams what changed."""

from __future__ import annotations

from datetime import datetime

from flag_service.domain.own_features import figures_every
from flag_service.domain.picture import Picture
from flag_service.domain.ring import FrameKind
from resilience_contracts import LevelChanged
from resilience_runtime.clock import Clock

from .hub import Hub
from .models import HeartbeatOut, LevelOut, ScopeOut

LOOK_S = 0.5


class Teller:
    """Writes pictures and level changes as events of the stream.

    What means something new goes out at once, always. Figures that are only fresher go as often as the feature
    `performance.live_updates` lets them: those in between are replaced by the newest.
    """

    def __init__(self, hub: Hub, clock: Clock) -> None:
        self._hub = hub
        self._clock = clock
        self._told: dict[str, datetime] = {}
        self._waiting: dict[str, Picture] = {}

    def effect(self, picture: Picture) -> None:
        """Send the whole new state of a scope."""
        self._note(picture.scope)
        self._hub.publish(FrameKind.STATE, picture.scope, ScopeOut.of(picture).model_dump_json())

    def heartbeat(self, picture: Picture) -> None:
        """Send the fresher figures of a scope, now or when it is time."""
        self._waiting[picture.scope] = picture
        self._send_due()

    def changed(self, change: LevelChanged) -> None:
        """Send a level change, for those who keep a list of them."""
        self._hub.publish(FrameKind.CHANGE, change.scope, change.model_dump_json())

    async def run(self) -> None:
        """Send figures that wait for their time, for ever."""
        while True:
            await self._clock.sleep(LOOK_S)
            self._send_due()

    def _send_due(self) -> None:
        now = self._clock.now()
        for picture in [one for one in self._waiting.values() if self._is_time(one, now)]:
            self._note(picture.scope)
            if picture.level:
                heartbeat = HeartbeatOut(level=LevelOut.of(picture.level))
                self._hub.mention(FrameKind.HEARTBEAT, picture.scope, heartbeat.model_dump_json())

    def _is_time(self, picture: Picture, now: datetime) -> bool:
        told = self._told.get(picture.scope)
        # A wall clock that was set back must not keep figures away.
        return told is None or not told <= now < told + figures_every(picture)

    def _note(self, scope: str) -> None:
        self._told[scope] = self._clock.now()
        self._waiting.pop(scope, None)
