"""One open event stream, as `Streams` writes to it.

While a client reads, it is written to directly: no task, queue or timeout for each client and event. Only a
client whose connection is full gets a task, which sends what waits in its bounded mailbox, each piece within a
time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from fastapi.sse import KEEPALIVE_COMMENT
from starlette.types import Message, Receive, Send

from .frame import Frame, Mailbox

SEND_TIMEOUT_S = 10.0

Encode = Callable[[Sequence[Frame]], bytes]
"""Writes frames as bytes; none of them may be worth any."""
Wants = Callable[[Frame], bool]
"""Says whether a frame is for a client."""


def chunk(body: bytes, *, more: bool = True) -> Message:
    """Return a piece of the response as ASGI has it."""
    return {"type": "http.response.body", "body": body, "more_body": more}


KEEPALIVE = chunk(KEEPALIVE_COMMENT)


class Listener:
    """A client of the stream.

    Attributes:
        turn: the streams' last turn before the client came; it is sent what came after.
        dropped: whether it is sent nothing more.
        too_slow: whether that is because it did not read.
    """

    __slots__ = (
        "_busy",
        "_capacity",
        "_mailbox",
        "_send",
        "_stay",
        "_task",
        "_wants",
        "dropped",
        "encode",
        "too_slow",
        "turn",
    )

    def __init__(self, send: Send, wants: Wants, encode: Encode, capacity: int) -> None:
        self.encode = encode
        self.turn = 0
        self.dropped = self.too_slow = False
        self._send = send
        self._wants = wants
        self._capacity = capacity
        self._mailbox: Mailbox | None = None
        self._busy = True
        self._stay = asyncio.timeout(None)
        self._task: asyncio.Task[None] | None = None

    def wants(self, frame: Frame) -> bool:
        """Say whether a frame is for this client."""
        return not self.dropped and frame.turn > self.turn and self._wants(frame)

    def offer(self, frame: Frame, message: Message) -> None:
        """Write a frame, or keep it until the client reads again; a client who is owed too much is given up."""
        if not self._busy:
            if message["body"]:
                self.write(message)
            return
        if self._mailbox is None:
            self._mailbox = Mailbox(self._capacity)
        if not self._mailbox.put(frame):
            self._give_up()

    def write(self, message: Message) -> None:
        """Write to a client that reads; to one that does not as soon as it does."""
        if not self._busy and not self.dropped and not self._written(message):
            self._busy = True
            self._task = asyncio.create_task(self._catch_up(message))

    def drop(self) -> None:
        """End the stream."""
        if not self.dropped:
            self.dropped = True
            self._stay.reschedule(asyncio.get_running_loop().time())

    def _give_up(self) -> None:
        self.too_slow = True
        self.drop()

    async def stay(self, receive: Receive, opening: bytes) -> None:
        """Send how the stream opens, then let it be written to until either side ends."""
        try:
            async with self._stay:
                await self._catch_up(chunk(opening))
                while (await receive())["type"] != "http.disconnect":
                    pass
        except TimeoutError:
            self._end()
        finally:
            self.dropped = True
            if self._task:
                self._task.cancel()

    def _end(self) -> None:
        if not self._busy:
            self._written(chunk(b"", more=False))

    def _written(self, message: Message) -> bool:
        # A server's `send` either writes at once or first waits for the client. It is stepped once, and given up
        # unsent if it waits: uvicorn waits before it writes, never after.
        sending = self._send(message).__await__()
        try:
            next(sending)
        except StopIteration:
            return True
        sending.close()
        return False

    async def _catch_up(self, message: Message) -> None:
        try:
            while True:
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    await self._send(message)
                frames = self._mailbox.drain() if self._mailbox else ()
                if not frames:
                    break
                message = chunk(self.encode(frames))
        except TimeoutError:
            self._give_up()
        else:
            self._mailbox, self._busy = None, False
