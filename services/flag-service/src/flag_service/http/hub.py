"""The event stream's hub: each frame is encoded once and written straight to every client that reads.

Taken from FastAPI: the wire format. Its response class and sse-starlette were tried: both run tasks and wake
generators for each client and event, which takes 5,000 clients seconds instead of a fraction of one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from random import Random

from fastapi.sse import format_sse_event
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from flag_service.domain.ring import Frame, FrameKind, Mailbox, Ring

from .listener import KEEPALIVE, Encode, Listener, chunk

HEARTBEAT_S = 15.0
RETRY_MS = (1_000, 5_000)
AT_ONCE = 250
"""Clients written to between two turns of the event loop: about five milliseconds."""
HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
}


def as_events(frames: Sequence[Frame]) -> bytes:
    """Write frames as they are."""
    return b"".join(frame.wire for frame in frames)


class Hub:
    """Sends frames to everyone who listens."""

    def __init__(self, boot: str, capacity: int, rng: Random) -> None:
        self._rng = rng
        self._ring = Ring(boot)
        self._capacity = capacity
        self._clients: set[Listener] = set()
        self._closed = False
        self._line = Mailbox()
        self._turn = 0
        self._pumping: asyncio.Task[None] | None = None
        self.dropped = 0

    @property
    def clients(self) -> int:
        """Number of open streams."""
        return len(self._clients)

    @property
    def full(self) -> bool:
        """Whether another client would be one too many."""
        return self._closed or len(self._clients) >= self._capacity

    def publish(self, kind: FrameKind, scope: str, data: str) -> None:
        """Number an event and send it to every client that wants it."""
        self._turn += 1
        self._deliver(self._ring.append(kind, scope, lambda named: _wire(kind, data, named), self._turn))

    def mention(self, kind: FrameKind, scope: str, data: str) -> None:
        """Send an event that is not worth a replay."""
        self._turn += 1
        self._deliver(Frame(kind, scope, _wire(kind, data, None), turn=self._turn))

    def close(self) -> None:
        """End every stream, and let nobody in any more; clients come back by themselves."""
        self._closed = True
        self.hang_up()

    def hang_up(self) -> None:
        """End every stream."""
        for client in self._clients:
            client.drop()

    async def keep_alive(self) -> None:
        """Send every client a comment each 15 s, so that both ends notice a dead connection, for ever."""
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            for some in _parts(list(self._clients)):
                for client in some:
                    client.write(KEEPALIVE)
                await asyncio.sleep(0)

    @contextmanager
    def joined(self, client: Listener) -> Iterator[None]:
        """Count a client in; what is published from now on is sent to it."""
        client.turn = self._turn
        self._clients.add(client)
        try:
            yield
        finally:
            self._clients.discard(client)
            self.dropped += client.too_slow

    def opening(self, client: Listener, last_event_id: str | None, snapshot: Callable[[], str]) -> bytes:
        """Return what a client is sent first: what it missed while that can be replayed, or a snapshot."""
        missed = self._ring.after(last_event_id) if last_event_id else None
        if missed is not None:
            return client.encode([frame for frame in missed if client.scope in {None, frame.scope}])
        last_id = self._ring.last_id
        # Each client is told another time, so that they do not all come back at once.
        wire = _wire(FrameKind.SNAPSHOT, snapshot(), last_id, self._rng.randint(*RETRY_MS))
        return client.encode([Frame(FrameKind.SNAPSHOT, "", wire, last_id)])

    def _deliver(self, frame: Frame) -> None:
        if not self._clients:
            return
        self._line.put(frame)
        if self._pumping is None or self._pumping.done():
            self._pumping = asyncio.create_task(self._pump(), name="event streams")

    async def _pump(self) -> None:
        while len(self._line):
            for frame in self._line.drain():
                messages: dict[Encode, Message] = {}
                for some in _parts(list(self._clients)):
                    for client in some:
                        if client.wants(frame):
                            self._tell(client, frame, messages)
                    await asyncio.sleep(0)

    def _tell(self, client: Listener, frame: Frame, messages: dict[Encode, Message]) -> None:
        message = messages.get(client.encode)
        if message is None:
            message = messages[client.encode] = chunk(client.encode([frame]))
        client.offer(frame, message)


def _parts(clients: list[Listener]) -> Iterator[list[Listener]]:
    for start in range(0, len(clients), AT_ONCE):
        yield clients[start : start + AT_ONCE]


def _wire(kind: FrameKind, data: str, frame_id: str | None, retry_ms: int | None = None) -> bytes:
    return format_sse_event(event=kind.value, data_str=data, id=frame_id, retry=retry_ms)


class StreamResponse(Response):
    """One client's event stream, as long as both sides stay."""

    def __init__(
        self,
        hub: Hub,
        scope: str | None,
        last_event_id: str | None,
        snapshot: Callable[[], str],
        encode: Encode = as_events,
    ) -> None:
        super().__init__(headers=HEADERS)
        del self.headers["content-length"]
        self._hub = hub
        self._scope = scope
        self._last_event_id = last_event_id
        self._snapshot = snapshot
        self._encode = encode

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Send until either side ends, or the client does not read in time."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        client = Listener(send, self._scope, self._encode)
        if self._hub.full:
            await send(chunk(b"", more=False))
            return
        with self._hub.joined(client):
            await client.stay(receive, self._hub.opening(client, self._last_event_id, self._snapshot))
