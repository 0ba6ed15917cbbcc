"""Traces by OpenTelemetry's SDK; see `Tracing`. Imported only when they are on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.types import Message as HttpMessage

from .bus import Apply, Message
from .trace_context import traceparent_of, well_formed, within
from .tracing import SpanKind

FRESH_S = 60.0
"""What is older was read again from a compacted topic and changes nothing now."""
SERVER_ERROR = 500

_KINDS = {
    SpanKind.INTERNAL: trace.SpanKind.INTERNAL,
    SpanKind.SERVER: trace.SpanKind.SERVER,
    SpanKind.CONSUMER: trace.SpanKind.CONSUMER,
    SpanKind.CLIENT: trace.SpanKind.CLIENT,
}


class OtelTracing:
    """Makes spans and gives them to a processor."""

    def __init__(self, service: str, instance: str, processor: SpanProcessor) -> None:
        resource = Resource.create({"service.name": service, "service.instance.id": instance})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("resilience")
        self._w3c = TraceContextTextMapPropagator()

    @contextmanager
    def span(
        self, name: str, kind: SpanKind = SpanKind.INTERNAL, *, parent: str | None = None, **attributes: str
    ) -> Iterator[None]:
        """Open a span over a block."""
        with self.opened(name, kind, parent, attributes):
            yield

    @contextmanager
    def opened(
        self, name: str, kind: SpanKind, parent: str | None, attributes: dict[str, str]
    ) -> Iterator[Span]:
        """Open a span over a block and give it to the block."""
        above = well_formed(parent)
        context = self._w3c.extract({"traceparent": above}) if above else None
        named = {key.replace("__", "."): value for key, value in attributes.items()}
        with self._tracer.start_as_current_span(name, context, _KINDS[kind], named) as span:
            carrier: dict[str, str] = {}
            self._w3c.inject(carrier)
            with within(carrier.get("traceparent")):
                yield span

    def served(self, app: ASGIApp) -> ASGIApp:
        """Return an ASGI application with a span over each request but those for health."""
        return _Served(app, self)

    def applied(self, apply: Apply) -> Apply:
        """Return `apply` with a span over each fresh record that belongs to a trace."""

        def traced(message: Message) -> None:
            parent = traceparent_of(message.headers)
            if parent is None or time.time() - message.timestamp_ms / 1000 > FRESH_S:
                apply(message)
                return
            attributes = {"messaging__system": "kafka", "messaging__destination__name": message.topic}
            with self.span(f"process {message.topic}", SpanKind.CONSUMER, parent=parent, **attributes):
                apply(message)

        return traced

    def close(self) -> None:
        """Send what is not sent yet."""
        self._provider.shutdown()


class _Served:
    def __init__(self, app: ASGIApp, tracing: OtelTracing) -> None:
        self._app = app
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/health/"):
            await self._app(scope, receive, send)
            return
        attributes = {"http.request.method": scope["method"], "url.path": scope["path"]}
        with self._tracing.opened(scope["method"], SpanKind.SERVER, _caller(scope), attributes) as span:

            async def noted(message: HttpMessage) -> None:
                if message["type"] == "http.response.start":
                    _note(span, scope, message["status"])
                await send(message)

            await self._app(scope, receive, noted)


def _caller(scope: Scope) -> str | None:
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == b"traceparent"), None)


def _note(span: Span, scope: Scope, status: int) -> None:
    span.set_attribute("http.response.status_code", status)
    route: Any = getattr(scope.get("route"), "path", None)
    if route:
        span.set_attribute("http.route", route)
        span.update_name(f"{scope['method']} {route}")
    if status >= SERVER_ERROR:
        span.set_status(StatusCode.ERROR)


def otlp_tracing(service: str, instance: str) -> OtelTracing:
    """Trace to the collector that OTEL_EXPORTER_OTLP_ENDPOINT names, OTLP over HTTP."""
    return OtelTracing(service, instance, BatchSpanProcessor(OTLPSpanExporter()))
