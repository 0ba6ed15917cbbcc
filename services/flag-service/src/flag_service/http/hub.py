"""The event stream's hub: numbers frames, replays what a client missed, or gives it a snapshot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from flag_service.domain.ring import FrameKind, Ring
from resilience_delivery import Encode, Frame, StreamResponse, Streams, as_events, wire

RETRY_MS = (1_000, 5_000)


class Hub(Streams):
    """Sends levels to everyone who listens. `told_as` gives the scope whose events those of a scope are."""

    def __init__(self, boot: str, capacity: int, rng: Random) -> None:
        super().__init__(capacity)
        self.told_as: Callable[[str], str] = str
        self._rng = rng
        self._ring = Ring(boot)

    def publish(self, kind: FrameKind, scope: str, data: str) -> None:
        """Number an event and send it to every client that wants it."""
        self.send(self._ring.append(kind, scope, lambda named: wire(kind.value, data, named)))

    def mention(self, kind: FrameKind, scope: str, data: str) -> None:
        """Send an event that is not worth a replay."""
        self.send(Frame(kind, scope, wire(kind.value, data, None)))

    def opened(
        self,
        scope: str | None,
        last_event_id: str | None,
        snapshot: Callable[[], str],
        encode: Encode = as_events,
    ) -> StreamResponse:
        """Return one client's stream of a scope, or of all."""

        def wants(frame: Frame) -> bool:
            return scope is None or self.told_as(scope) == frame.subject

        def opening() -> Sequence[Frame]:
            missed = self._ring.after(last_event_id) if last_event_id else None
            return self._whole(snapshot()) if missed is None else list(filter(wants, missed))

        return StreamResponse(self, wants, opening, encode)

    def _whole(self, data: str) -> list[Frame]:
        last_id = self._ring.last_id
        # Each client is told another time, so that they do not all come back at once.
        text = wire(FrameKind.SNAPSHOT.value, data, last_id, self._rng.randint(*RETRY_MS))
        return [Frame(FrameKind.SNAPSHOT, "", text, last_id)]
