"""Plumbing of a service: bus, HTTP, logs, metrics, settings, lifecycle, time. No word of the domain."""

from __future__ import annotations

from .api_keys import Caller, KeyEntry, KeyRing, create_key
from .backoff import Backoff
from .bus import (
    Apply,
    BadMessage,
    EventPublisher,
    Headers,
    Message,
    PublishError,
    PublishRejectedError,
    Reader,
)
from .clock import Clock, ManualClock, SystemClock
from .errors import RuntimeFault, StartupError
from .http import Readiness, build_app, prepare_routes
from .intake import OnBad
from .kafka import DeadLetters, KafkaAccess, KafkaPublisher, ReplicaReader
from .lifecycle import run, run_service
from .logging import configure_logging
from .memory import MemoryBus, MemoryReader
from .metrics import Kind, Metric, Metrics, build_registry, serve_metrics
from .problem import ErrorShape, Problem, ProblemDetails
from .queue import PublishQueue
from .serving import serve
from .settings import (
    HttpSettings,
    KafkaSettings,
    LogFormat,
    LogLevel,
    LogSettings,
    Port,
    RuntimeSettings,
    TraceExporter,
    TraceSettings,
    load,
)
from .snapshot import Snapshot
from .trace_context import current_trace_id, current_traceparent, traceparent_of
from .tracing import NoTracing, SpanKind, Tracing, finishing, start_tracing

__all__ = [
    "Apply",
    "Backoff",
    "BadMessage",
    "Caller",
    "Clock",
    "DeadLetters",
    "ErrorShape",
    "EventPublisher",
    "Headers",
    "HttpSettings",
    "KafkaAccess",
    "KafkaPublisher",
    "KafkaSettings",
    "KeyEntry",
    "KeyRing",
    "Kind",
    "LogFormat",
    "LogLevel",
    "LogSettings",
    "ManualClock",
    "MemoryBus",
    "MemoryReader",
    "Message",
    "Metric",
    "Metrics",
    "NoTracing",
    "OnBad",
    "Port",
    "Problem",
    "ProblemDetails",
    "PublishError",
    "PublishQueue",
    "PublishRejectedError",
    "Reader",
    "Readiness",
    "ReplicaReader",
    "RuntimeFault",
    "RuntimeSettings",
    "Snapshot",
    "SpanKind",
    "StartupError",
    "SystemClock",
    "TraceExporter",
    "TraceSettings",
    "Tracing",
    "build_app",
    "build_registry",
    "configure_logging",
    "create_key",
    "current_trace_id",
    "current_traceparent",
    "finishing",
    "load",
    "prepare_routes",
    "run",
    "run_service",
    "serve",
    "serve_metrics",
    "start_tracing",
    "traceparent_of",
]
