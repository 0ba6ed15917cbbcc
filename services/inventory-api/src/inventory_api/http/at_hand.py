"""The answer most asked for, given before routing: a SKU's present stock, where this process has seen it before.

The same reader, the same body and the same headers as by the route, which serves everything else; only written once for
as long as the stock is the same, and without the steps of a framework that come to nothing here.
"""

from __future__ import annotations

from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Scope, Send

from inventory_api.application.stock_reader import Reading, StockReader
from inventory_api.domain.stock import Stock

from .conditional import matches, tagged
from .rendering import freshness, stock_out

PREFIX = "/v1/stock/"


@dataclass(frozen=True, slots=True)
class _Route:
    """What `Measure` reads."""

    path: str = "/v1/stock/{sku}"


_ROUTE = _Route()


@dataclass(frozen=True, slots=True)
class _Written:
    """A body, of which stock it tells, its tag, and its headers."""

    stock: Stock
    body: bytes
    tag: str
    headers: list[tuple[bytes, bytes]]
    bare_headers: list[tuple[bytes, bytes]]


class StockAtHand:
    """Middleware that answers what is at hand, or soon will be."""

    def __init__(self, app: ASGIApp, reader: StockReader) -> None:
        self._app = app
        self._reader = reader
        self._written: dict[str, _Written] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass the request on."""
        sku = _asked_for(scope)
        stock = (self._reader.at_hand(sku) or await self._reader.soon(sku)) if sku else None
        if stock is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = _ROUTE
        written = self._write(stock)
        known = next((value for name, value in scope["headers"] if name == b"if-none-match"), None)
        if known is not None and matches(known.decode("latin-1"), written.tag):
            await send({"type": "http.response.start", "status": 304, "headers": written.bare_headers})
            await send({"type": "http.response.body", "body": b""})
            return
        await send({"type": "http.response.start", "status": 200, "headers": written.headers})
        await send({"type": "http.response.body", "body": written.body})

    def _write(self, stock: Stock) -> _Written:
        sku = stock.sku.sku
        kept = self._written.get(sku)
        if kept is not None and kept.stock is stock:
            return kept
        if kept is None and len(self._written) >= self._reader.most:
            self._written.clear()
        reading = Reading(stock, 0.0, stale=False)
        text, tag = tagged(stock_out(reading))
        bare = [(b"etag", tag.encode()), *_raw(freshness([reading]))]
        body = text.encode()
        headers = [
            *bare,
            (b"content-length", str(len(body)).encode()),
            (b"content-type", b"application/json"),
        ]
        written = self._written[sku] = _Written(stock, body, tag, headers, bare)
        return written


def _asked_for(scope: Scope) -> str | None:
    if scope["type"] != "http" or scope["method"] != "GET":
        return None
    path: str = scope["path"]
    if not path.startswith(PREFIX) or "/" in path[len(PREFIX) :]:
        return None
    return path[len(PREFIX) :]


def _raw(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]
