"""One open event stream, as the hub writes to it.

While a client reads, the hub writes to it directly: no task, queue or timeout for each client and event. Only a
client whose connection is full gets a task, which sends what waits in its bounded mailbox, each piece within a
time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from fastapi.sse import KEEPALIVE_COMMENT
from starlette.types import Message, Receive, Send

from flag_service.domain.ring import Frame, Mailbox

SEND_TIMEOUT_S = 10.0

Encode = Callable[[Sequence[Frame]], bytes]
"""Writes frames as bytes; none of them may be worth any."""


def chunk(body: bytes, *, more: bool = True) -> Message:
    """Return a piece of the response as ASGI has it."""
    return {"type": "http.response.body", "body": body, "more_body": more}


KEEPALIVE = chunk(KEEPALIVE_COMMENT)


class Listener:
    """A client; one that wants one scope is sent nothing of others.

    Attributes:
        turn: the hub's last turn before the client came; it is sent what came after.
        dropped: whether it is sent nothing more.
    """

    __slots__ = ("_busy", "_mailbox", "_scope", "_send", "_stay", "_task", "dropped", "encode", "turn")

    def __init__(self, send: Send, scope: str | None, encode: Encode) -> None:
        self.encode = encode
        self.turn = 0
        self.dropped = False
        self._send = send
        self._scope = scope
        self._mailbox: Mailbox | None = None
        self._busy = True
        self._stay = asyncio.timeout(None)
        self._task: asyncio.Task[None] | None = None

    def wants(self, frame: Frame, turn: int) -> bool:
        """Say whether a frame of a turn is for this client."""
        return not self.dropped and turn > self.turn and self._scope in {None, frame.scope}

    def offer(self, frame: Frame, message: Message) -> bool:
        """Write a frame, or keep it until the client reads again; False when too much is kept already."""
        if not self._busy:
            if message["body"]:
                self.write(message)
            return True
        self._mailbox = self._mailbox or Mailbox()
        return self._mailbox.put(frame)

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

    async def stay(self, receive: Receive, join: Callable[[], bytes]) -> None:
        """Send what `join` opens with, then let the hub write until either side ends."""
        try:
            async with self._stay:
                await self._catch_up(chunk(join()))
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
        sending = self._send(message)
        step = sending.__await__()
        try:
            next(step)
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
            self.drop()
        else:
            self._mailbox, self._busy = None, False
