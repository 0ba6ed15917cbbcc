"""The trace that a task works for: W3C trace context, without any tracing library."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

HEADER = "ce_traceparent"
"""Where a record carries it: the extension `traceparent` of CloudEvents."""
SHAPE = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

_current: ContextVar[str | None] = ContextVar("traceparent", default=None)


def current_traceparent() -> str | None:
    """Return what to pass on to others, or None outside of any trace."""
    return _current.get()


def current_trace_id() -> str | None:
    """Return 32 hexadecimal digits, or None outside of any trace."""
    traceparent = _current.get()
    return traceparent and traceparent.split("-")[1]


@contextmanager
def within(traceparent: str | None) -> Iterator[None]:
    """Work for a trace; None is for none."""
    token = _current.set(traceparent)
    try:
        yield
    finally:
        _current.reset(token)


def traceparent_of(headers: Iterable[tuple[str, bytes | None]]) -> str | None:
    """Return the trace that a record belongs to; None if it names none, or names it wrongly."""
    for name, value in headers:
        if name == HEADER:
            return well_formed((value or b"").decode("latin-1"))
    return None


def well_formed(text: str | None) -> str | None:
    """Return a `traceparent` of version 00 as it is, and None for anything else."""
    return text if text and SHAPE.fullmatch(text) else None
