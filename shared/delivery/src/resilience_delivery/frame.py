"""Frames of an event stream, and what of them has still to be sent to one client."""

from __future__ import annotations

from dataclasses import dataclass

MAILBOX_CAPACITY = 64


@dataclass(frozen=True, slots=True)
class Frame:
    """One encoded event. One without an id is not worth a replay.

    Attributes:
        kind: the event's name.
        subject: what it tells of; of one kind and subject, a client who is behind needs only the newest.
        turn: grows with each frame that the process sends, those without an id included.
        about: what a filter looks at, where kind and subject are not enough.
    """

    kind: str
    subject: str
    wire: bytes
    frame_id: str | None = None
    turn: int = 0
    about: object = None


class Mailbox:
    """What has still to be sent: coalesced to the newest of each kind and subject when it grows too long."""

    def __init__(self, capacity: int = MAILBOX_CAPACITY) -> None:
        self._capacity = capacity
        self._frames: list[Frame] = []

    def __len__(self) -> int:
        return len(self._frames)

    def put(self, frame: Frame) -> bool:
        """Take a frame; False when even the newest of each kind and subject are too many."""
        self._frames.append(frame)
        if len(self._frames) > self._capacity:
            self._coalesce()
        return len(self._frames) <= self._capacity

    def drain(self) -> list[Frame]:
        """Hand over everything, oldest first."""
        frames, self._frames = self._frames, []
        return frames

    def _coalesce(self) -> None:
        newest = {(frame.kind, frame.subject): index for index, frame in enumerate(self._frames)}
        keep = set(newest.values())
        self._frames = [frame for index, frame in enumerate(self._frames) if index in keep]
