"""What stands before every route: cross-origin rules, then keys, quotas and sizes, then what to do under overload."""

from __future__ import annotations

from random import Random

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from inventory_api.application.stock_reader import StockReader

from .access import Access, Door
from .at_hand import StockAtHand
from .overload import Lanes, Overload

PREFLIGHT_S = 600
_SENT = ["Content-Type", "X-API-Key", "Idempotency-Key", "If-Match", "If-None-Match"]
_SHOWN = [
    "ETag",
    "Location",
    "Retry-After",
    "RateLimit",
    "RateLimit-Policy",
    "Resilience-Level",
    "Image-Placeholder",
]


def guards(
    door: Door, origins: tuple[str, ...], stock: StockReader, lanes: Lanes, rng: Random
) -> list[Middleware]:
    """Return the layers, outermost first; pages of these origins alone may call from a browser.

    What is at hand is answered even under overload: a refusal would take as long.
    """
    layers = [
        Middleware(Access, door=door),
        Middleware(StockAtHand, reader=stock),
        Middleware(Overload, lanes=lanes, rng=rng),
    ]
    if not origins:
        return layers
    cors = Middleware(
        CORSMiddleware,
        allow_origins=list(origins),
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=_SENT,
        expose_headers=_SHOWN,
        max_age=PREFLIGHT_S,
    )
    return [cors, *layers]
