"""Tells the streams what changed."""

from __future__ import annotations

from flag_service.domain.picture import Picture
from flag_service.domain.ring import FrameKind
from resilience_contracts import LevelChanged

from .hub import Hub
from .models import HeartbeatOut, LevelOut, ScopeOut


class Teller:
    """Writes pictures and level changes as events of the stream."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def effect(self, picture: Picture) -> None:
        """Send the whole new state of a scope."""
        self._hub.publish(FrameKind.STATE, picture.scope, ScopeOut.of(picture).model_dump_json())

    def heartbeat(self, picture: Picture) -> None:
        """Send the fresher figures of a scope."""
        if picture.level:
            heartbeat = HeartbeatOut(level=LevelOut.of(picture.level))
            self._hub.mention(FrameKind.HEARTBEAT, picture.scope, heartbeat.model_dump_json())

    def changed(self, change: LevelChanged) -> None:
        """Send a level change, for those who keep a list of them."""
        self._hub.publish(FrameKind.CHANGE, change.scope, change.model_dump_json())
