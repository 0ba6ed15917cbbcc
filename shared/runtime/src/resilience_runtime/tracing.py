"""Traces: off unless OTEL_TRACES_EXPORTER is `otlp`. No library is loaded while they are off."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from enum import StrEnum
from typing import Any, Protocol

from .bus import Apply
from .settings import TraceExporter, TraceSettings
from .trace_context import well_formed, within

Application = Callable[..., Any]
CLOSE_S = 2.0


class SpanKind(StrEnum):
    """What a span is to the one that caused it."""

    INTERNAL = "internal"
    SERVER = "server"
    CONSUMER = "consumer"
    CLIENT = "client"


class Tracing(Protocol):
    """Makes spans. While one is open, `current_traceparent` says how to go on from it."""

    def span(
        self, name: str, kind: SpanKind = SpanKind.INTERNAL, *, parent: str | None = None, **attributes: str
    ) -> AbstractContextManager[None]:
        """Open a span over a block; what the block raises is noted in it and goes on.

        Args:
            name: of few values.
            kind: of the span.
            parent: `traceparent` of the cause; None is the open span, or else a new trace.
            attributes: `__` in a name stands for a dot.
        """
        ...

    def served(self, app: Application) -> Application:
        """Return an ASGI application with a span over each request."""
        ...

    def applied(self, apply: Apply) -> Apply:
        """Return `apply` with a span over each fresh record that belongs to a trace."""
        ...

    def close(self) -> None:
        """Send what is not sent yet. Blocks, for as long as the SDK tries."""
        ...


class NoTracing:
    """Makes no span, but hands a trace on from what caused something to what follows."""

    def span(
        self,
        name: str,  # noqa: ARG002 - the protocol's
        kind: SpanKind = SpanKind.INTERNAL,  # noqa: ARG002
        *,
        parent: str | None = None,
        **attributes: str,  # noqa: ARG002
    ) -> AbstractContextManager[None]:
        """Make the parent the trace of a block."""
        return within(well_formed(parent))

    def served(self, app: Application) -> Application:
        """Return the application itself."""
        return app

    def applied(self, apply: Apply) -> Apply:
        """Return `apply` itself."""
        return apply

    def close(self) -> None:
        """Do nothing."""


def start_tracing(settings: TraceSettings, service: str, instance: str) -> Tracing:
    """Begin to trace if the settings say so. Everything else is read by the SDK from OTEL_*."""
    if settings.otel_sdk_disabled or settings.otel_traces_exporter is TraceExporter.NONE:
        return NoTracing()
    from .otel import otlp_tracing  # noqa: PLC0415 - costs time and memory that nobody asked for

    return otlp_tracing(service, instance)


@asynccontextmanager
async def finishing(tracing: Tracing) -> AsyncIterator[None]:
    """Send, at the end of a block, what is not sent yet, for two seconds at most; the loop goes on meanwhile."""
    try:
        yield
    finally:
        closing = threading.Thread(target=tracing.close, name="tracing closes", daemon=True)
        closing.start()
        await asyncio.to_thread(closing.join, CLOSE_S)
