"""What stands before every route: places in lanes, cross-origin rules, then keys, quotas and sizes."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from inventory_api.application.stock_reader import StockReader

from .access import Access, Door
from .at_hand import StockAtHand
from .overload import InLane, Lanes

PREFLIGHT_S = 600
_SENT = ["Content-Type", "X-API-Key", "Idempotency-Key", "If-Match", "If-None-Match", "Last-Event-ID"]
_SHOWN = [
    "ETag",
    "Location",
    "Retry-After",
    "RateLimit",
    "RateLimit-Policy",
    "Resilience-Level",
    "Image-Placeholder",
]


def guards(door: Door, origins: tuple[str, ...], stock: StockReader, lanes: Lanes) -> list[Middleware]:
    """Return the layers, outermost first; pages of these origins alone may call from a browser."""
    cors = Middleware(
        CORSMiddleware,
        allow_origins=list(origins),
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=_SENT,
        expose_headers=_SHOWN,
        max_age=PREFLIGHT_S,
    )
    return [
        Middleware(InLane, lanes=lanes),
        *([cors] if origins else []),
        Middleware(Access, door=door),
        Middleware(StockAtHand, reader=stock),
    ]


def shown_to(origins: tuple[str, ...]) -> Mapping[bytes, bytes]:
    """Return, by origin, the headers by which a page of it may read an answer that no layer has seen."""
    shown = ", ".join(_SHOWN)
    return {
        origin.encode(): (
            f"access-control-allow-origin: {origin}\r\naccess-control-expose-headers: {shown}\r\nvary: Origin\r\n"
        ).encode()
        for origin in origins
    }
