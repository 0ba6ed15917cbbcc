"""uvicorn's protocol with limits on how long and how large the head of a request may be, and an entrance.

uvicorn bounds the time between requests, not that of a first or of a half sent one: a client that sends a header a
minute would keep its connection for ever. Nor does httptools bound the head itself: one of 80 MB was kept whole.

And it makes a task of each request before anybody can say that it is one too many. A refusal by the application costs
as much as a cheap answer; one at the entrance, a tenth of it. What comes to the entrance is read in turns; see `Intake`.
"""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple, Protocol, cast

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from .http_intake import Intake

HEAD_S = 10.0
HEAD_BYTES = 64 * 1024
"""What may come of a head after the read that it begins in, which brings 256 KiB at most."""
_NOTHING_MORE = b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout" + _NOTHING_MORE
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large" + _NOTHING_MORE


class Refusal(NamedTuple):
    """An answer as it goes over the wire: the head without the empty line that ends it, and the body."""

    head: bytes
    body: bytes


class Entrance(Protocol):
    """Weighs requests before anything is done for them, their bodies unread; must not wait."""

    def goes_first(self, data: bytes) -> bool:
        """Say of what a client sends after a pause whether it is to be read before others, at a glance."""

    def admit(self, scope: Scope, waiting: int) -> Refusal | None:
        """Let a request in, or refuse it; so many others have come and wait to be weighed."""


class PromptProtocol(HttpToolsProtocol):
    """Hangs up when request line and headers are not there within `HEAD_S` seconds (408) or `HEAD_BYTES` (431).

    What the entrance refuses is answered at once.

    Args:
        intake: of all connections of the entrance.
        entrance: None lets everybody in, and what comes is read at once.
    """

    _timer: asyncio.TimerHandle | None = None
    _in_head = False
    _in_message = False
    _begun = False
    _head_bytes = 0

    def __init__(self, *args: Any, intake: Intake, entrance: Entrance | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._entrance = entrance
        self._intake = intake

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._timer = self.loop.call_later(HEAD_S, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read it, after others that came before."""
        if self._entrance is None:
            self.read(data)
            return
        rests = not self._in_message and not self.flow.read_paused
        self._intake.put(self, data, first=rests and self._entrance.goes_first(data))
        self.flow.pause_reading()  # no more than this waits of one client

    def read(self, data: bytes) -> None:
        """Read what came, and begin to wait for the rest of a head, as long as it is of a size that heads have."""
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        self._begun = False
        super().data_received(data)
        if self._in_head and not self._begun:
            self._head_bytes += len(data)
        if self._head_bytes > HEAD_BYTES:
            self._hang_up(_TOO_LARGE)
        elif self._in_head and self._timer is None and not self.transport.is_closing():
            self._timer = self.loop.call_later(HEAD_S, self._give_up)

    def on_message_begin(self) -> None:
        """Note that a head has begun."""
        self._in_head = self._in_message = self._begun = True
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Wait no longer."""
        self._in_head = False
        self._head_bytes = 0
        self._stop()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Note that another may begin."""
        self._in_message = False
        super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        # Of requests sent ahead, and to a client that does not read, uvicorn keeps the order and the measure.
        alone = cycle is self.cycle and not self.pipeline and not self.flow.write_paused
        refusal = self._weigh(cast("Scope", cycle.scope)) if alone else None
        if refusal is None:
            super()._start_asgi_task(cycle, app)
            return
        cycle.response_started = cycle.response_complete = True
        last = b"" if cycle.keep_alive else b"connection: close\r\n"
        self.transport.write(b"".join((refusal.head, last, b"\r\n", refusal.body)))
        if last:
            self.transport.close()
        self.on_response_complete()

    def _weigh(self, scope: Scope) -> Refusal | None:
        return self._entrance.admit(scope, len(self._intake)) if self._entrance else None

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _hang_up(self, last_words: bytes) -> None:
        if self._answered():
            self.transport.write(last_words)
        self.transport.close()

    def _answered(self) -> bool:
        return bool(getattr(self.cycle, "response_complete", True))

    def _give_up(self) -> None:
        if not self._answered():
            # Sent ahead while an answer is on its way: that one is not to be cut.
            self._timer = self.loop.call_later(HEAD_S, self._give_up)
            return
        if self._in_head:
            self.transport.write(_TOO_SLOW)
        self.transport.close()
