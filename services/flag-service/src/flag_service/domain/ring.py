"""Frames of the event stream: their kinds, their global sequence, and the ring that replays them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import StrEnum

from resilience_delivery.frame import Frame

RING_CAPACITY = 1_000


class FrameKind(StrEnum):
    """Event names of the stream."""

    SNAPSHOT = "snapshot"
    STATE = "state"
    CHANGE = "change"
    HEARTBEAT = "heartbeat"


class Ring:
    """The last frames of one process, numbered from 1.

    An id names the process's boot too, so that an id of another process or of an earlier boot is not taken
    for one of ours.
    """

    def __init__(self, boot: str, capacity: int = RING_CAPACITY) -> None:
        self._boot = boot
        self._frames: deque[Frame] = deque(maxlen=capacity)
        self._last = 0

    @property
    def last_id(self) -> str:
        """Id of the newest frame."""
        return self._id(self._last)

    def append(self, kind: FrameKind, scope: str, encode: Callable[[str], bytes]) -> Frame:
        """Number a frame, let `encode` write it with its id, and keep it."""
        self._last += 1
        frame = Frame(kind, scope, encode(self.last_id), self.last_id)
        self._frames.append(frame)
        return frame

    def after(self, last_event_id: str) -> list[Frame] | None:
        """Return the frames after an id, or None when they cannot all be replayed."""
        boot, _, text = last_event_id.rpartition("-")
        if boot != self._boot or not (text.isascii() and text.isdigit()):
            return None
        missed = self._last - int(text[:20])
        if not 0 <= missed <= len(self._frames):
            return None
        return list(self._frames)[len(self._frames) - missed :]

    def _id(self, sequence: int) -> str:
        return f"{self._boot}-{sequence}"
