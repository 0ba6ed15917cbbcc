"""uvicorn's protocol with a limit on how long the head of a request may take.

uvicorn bounds the time between requests, not that of a first or of a half sent one: a client that sends a header a
minute would keep its connection for ever.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_S = 10.0
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class PromptProtocol(HttpToolsProtocol):
    """Answers 408 and hangs up when request line and headers are not there within `HEAD_S` seconds."""

    _timer: asyncio.TimerHandle | None = None
    _in_head = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._timer = self.loop.call_later(HEAD_S, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Begin to wait for the rest of a head."""
        super().data_received(data)
        if self._in_head and self._timer is None and not self.transport.is_closing():
            self._timer = self.loop.call_later(HEAD_S, self._give_up)

    def on_message_begin(self) -> None:
        """Note that a head has begun."""
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Wait no longer."""
        self._in_head = False
        self._stop()
        super().on_headers_complete()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        if not getattr(self.cycle, "response_complete", True):
            # Sent ahead while an answer is on its way: that one is not to be cut.
            self._timer = self.loop.call_later(HEAD_S, self._give_up)
            return
        if self._in_head:
            self.transport.write(_TOO_SLOW)
        self.transport.close()
