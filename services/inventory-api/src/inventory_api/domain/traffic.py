"""What a request is worth when not all can be served, and what it will wait for."""

from __future__ import annotations

from enum import Enum, IntEnum, auto
from typing import NamedTuple

from .access import ends_a_hold


class Importance(IntEnum):
    """What is served first: what ends a hold, since stock and a customer wait for it; back office comes last."""

    SETTLE = 0
    HOLD = 1
    LOOK = 2
    CHANGE = 3
    LIST = 4
    OFFICE = 5


class Lane(Enum):
    """What a request occupies beyond the processor: slots of PostgreSQL, or those of long work."""

    WRITE = auto()
    READ = auto()
    OFFICE = auto()


class Traffic(NamedTuple):
    """A class of requests. No lane: mostly answered from memory."""

    importance: Importance
    lane: Lane | None


_SETTLE = Traffic(Importance.SETTLE, Lane.WRITE)
_HOLD = Traffic(Importance.HOLD, Lane.WRITE)
_SEE_HOLD = Traffic(Importance.HOLD, Lane.READ)
_LOOK = Traffic(Importance.LOOK, None)
_CHANGE = Traffic(Importance.CHANGE, Lane.WRITE)
_LIST = Traffic(Importance.LIST, Lane.READ)
_IMAGE = Traffic(Importance.LIST, None)
_OFFICE = Traffic(Importance.OFFICE, Lane.OFFICE)
_STREAM = Traffic(Importance.LIST, None)
_SUBSCRIBE = Traffic(Importance.CHANGE, None)

_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_LOOKS = ("/v1/stock/", "/v1/availability:batch", "/v1/system/")
_HOLDS = "/v1/reservations"
_LIVE = ("/v1/stream", "/v1/webhooks")
_OFFICES = (
    "/v1/imports",
    "/v1/exports",
    "/v1/reports",
    "/v1/dashboard",
    "/v1/forecasts",
    "/v1/assistant",
    "/v1/supplier-orders",
    "/v1/recommendations",
)


def traffic_of(method: str, path: str) -> Traffic:
    """Return the class of a request under `/v1`."""
    reads = method in _READING
    if path.startswith(_LOOKS) and (reads or method == "POST"):
        return _LOOK
    if ends_a_hold(method, path):
        return _SETTLE
    if path.startswith(_HOLDS):
        return _SEE_HOLD if reads else _HOLD
    if path.startswith(_OFFICES):
        return _OFFICE
    if path.startswith(_LIVE):
        return _STREAM if reads else _SUBSCRIBE
    listed = _IMAGE if path.endswith("/image") else _LIST
    return listed if reads else _CHANGE
