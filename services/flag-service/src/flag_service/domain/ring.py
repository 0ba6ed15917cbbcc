"""Frames of the event stream: their global sequence, the ring that replays them, each client's mailbox."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

RING_CAPACITY = 1_000
MAILBOX_CAPACITY = 64


class FrameKind(StrEnum):
    """Event names of the stream."""

    SNAPSHOT = "snapshot"
    STATE = "state"
    CHANGE = "change"
    HEARTBEAT = "heartbeat"


@dataclass(frozen=True, slots=True)
class Frame:
    """One encoded event. A heartbeat has no id: it is not worth a replay.

    Attributes:
        turn: grows with each frame of the process, those without an id included.
    """

    kind: FrameKind
    scope: str
    wire: bytes
    frame_id: str | None = None
    turn: int = 0


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

    def append(self, kind: FrameKind, scope: str, encode: Callable[[str], bytes], turn: int = 0) -> Frame:
        """Number a frame, let `encode` write it with its id, and keep it."""
        self._last += 1
        frame = Frame(kind, scope, encode(self.last_id), self.last_id, turn)
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


class Mailbox:
    """What has still to be sent: coalesced to the newest of each kind and scope when it grows too long."""

    def __init__(self, capacity: int = MAILBOX_CAPACITY) -> None:
        self._capacity = capacity
        self._frames: list[Frame] = []

    def __len__(self) -> int:
        return len(self._frames)

    def put(self, frame: Frame) -> bool:
        """Take a frame; False when even the newest of each kind and scope are too many."""
        self._frames.append(frame)
        if len(self._frames) > self._capacity:
            self._coalesce()
        return len(self._frames) <= self._capacity

    def drain(self) -> list[Frame]:
        """Hand over everything, oldest first."""
        frames, self._frames = self._frames, []
        return frames

    def _coalesce(self) -> None:
        newest = {(frame.kind, frame.scope): index for index, frame in enumerate(self._frames)}
        keep = set(newest.values())
        self._frames = [frame for index, frame in enumerate(self._frames) if index in keep]
