"""The event stream's hub: one encoding of each frame, a mailbox for each client.

Taken from FastAPI: the wire format and the response class. sse-starlette was tried: it also bounds sends, but
it encodes a frame again for every client, runs four tasks for each, and replaces uvicorn's exit handler.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass, field
from random import Random

from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event
from starlette.types import Message, Receive, Scope, Send

from flag_service.domain.ring import Frame, FrameKind, Mailbox, Ring

HEARTBEAT_S = 15.0
SEND_TIMEOUT_S = 10.0
RETRY_MS = (1_000, 5_000)
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@dataclass(eq=False, slots=True)
class Client:
    """One open stream; a client that wants one scope is sent nothing of others."""

    scope: str | None
    mailbox: Mailbox = field(default_factory=Mailbox)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    dropped: bool = False

    def wants(self, frame: Frame) -> bool:
        """Say whether a frame is for this client."""
        return self.scope is None or self.scope == frame.scope


class Hub:
    """Sends frames to everyone who listens."""

    def __init__(self, boot: str, capacity: int, rng: Random) -> None:
        self._rng = rng
        self._ring = Ring(boot)
        self._capacity = capacity
        self._clients: set[Client] = set()
        self._closed = False
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
        self._deliver(self._ring.append(kind, scope, lambda frame_id: _wire(kind, data, frame_id)))

    def mention(self, kind: FrameKind, scope: str, data: str) -> None:
        """Send an event that is not worth a replay."""
        self._deliver(Frame(kind, scope, _wire(kind, data, None)))

    def close(self) -> None:
        """End every stream; clients come back by themselves."""
        self._closed = True
        for client in self._clients:
            client.dropped = True
            client.wake.set()

    async def frames(
        self, scope: str | None, last_event_id: str | None, snapshot: Callable[[], str]
    ) -> AsyncGenerator[list[Frame]]:
        """Yield what a client is to be sent, in batches; an empty batch is the heartbeat.

        The first batch is a snapshot, or what was missed since `last_event_id` while that can be replayed.
        """
        with self._joined(Client(scope)) as client:
            yield self._opening(client, last_event_id, snapshot)
            while not client.dropped:
                try:
                    async with asyncio.timeout(HEARTBEAT_S):
                        await client.wake.wait()
                except TimeoutError:
                    yield []
                    continue
                client.wake.clear()
                if not client.dropped:
                    yield client.mailbox.drain()

    @contextmanager
    def _joined(self, client: Client) -> Iterator[Client]:
        self._clients.add(client)
        try:
            yield client
        finally:
            self._clients.discard(client)

    def _opening(self, client: Client, last_event_id: str | None, snapshot: Callable[[], str]) -> list[Frame]:
        missed = self._ring.after(last_event_id) if last_event_id else None
        if missed is not None:
            return [frame for frame in missed if client.wants(frame)]
        last_id = self._ring.last_id
        # Each client is told another time, so that they do not all come back at once.
        wire = _wire(FrameKind.SNAPSHOT, snapshot(), last_id, self._rng.randint(*RETRY_MS))
        return [Frame(FrameKind.SNAPSHOT, "", wire, last_id)]

    def _deliver(self, frame: Frame) -> None:
        for client in self._clients:
            if not client.wants(frame) or client.dropped:
                continue
            if not client.mailbox.put(frame):
                client.dropped = True
                self.dropped += 1
            client.wake.set()


def _wire(kind: FrameKind, data: str, frame_id: str | None, retry_ms: int | None = None) -> bytes:
    return format_sse_event(event=kind.value, data_str=data, id=frame_id, retry=retry_ms)


class _NotReadingError(Exception):
    """The client did not take a frame in time."""


class StreamResponse(EventSourceResponse):
    """An event stream that gives up on a client which does not take a frame in time."""

    def __init__(self, content: AsyncGenerator[bytes]) -> None:
        super().__init__(content, headers=HEADERS)
        self._content = content

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until either side ends, or a frame is not taken in time."""

        async def bounded(message: Message) -> None:
            try:
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    await send(message)
            except TimeoutError as error:
                raise _NotReadingError from error

        async with aclosing(self._content):
            with suppress(_NotReadingError):
                await super().__call__(scope, receive, bounded)


async def as_bytes(batches: AsyncGenerator[list[Frame]]) -> AsyncGenerator[bytes]:
    """Write batches of frames, an empty one as the heartbeat comment."""
    async with aclosing(batches):
        async for frames in batches:
            yield b"".join(frame.wire for frame in frames) or KEEPALIVE_COMMENT
