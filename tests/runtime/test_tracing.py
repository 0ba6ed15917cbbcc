from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx
import pytest
import structlog
from fastapi import FastAPI
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from resilience_runtime import (
    Message,
    NoTracing,
    Problem,
    Readiness,
    TraceSettings,
    Tracing,
    build_app,
    configure_logging,
    current_trace_id,
    current_traceparent,
    finishing,
    start_tracing,
    traceparent_of,
)
from resilience_runtime.otel import OtelTracing
from resilience_runtime.tracing import CLOSE_S
from tests.fixtures.collector import Collector

TRACE, SPAN = "a" * 32, "b" * 16
CALLER = f"00-{TRACE}-{SPAN}-01"


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracing(exporter: InMemorySpanExporter) -> Iterator[OtelTracing]:
    made = OtelTracing("some-service", "one", SimpleSpanProcessor(exporter))
    yield made
    made.close()


def only(exporter: InMemorySpanExporter) -> ReadableSpan:
    (span,) = exporter.get_finished_spans()
    return span


def application() -> FastAPI:
    app = build_app("Test", lambda: Readiness(ready=True))

    @app.get("/things/{number}")
    async def refuse(number: int) -> None:
        structlog.get_logger("here").info("asked", number=number)
        raise Problem(409, "sold_out", "None left.")

    @app.get("/broken")
    async def fail() -> None:
        raise ZeroDivisionError

    return app


async def ask(tracing: Tracing, path: str, **headers: str) -> httpx.Response:
    transport = httpx.ASGITransport(tracing.served(application()))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.get(path, headers=headers)


def record(traceparent: bytes | None, *, age_s: float = 0) -> Message:
    headers = () if traceparent is None else (("ce_traceparent", traceparent),)
    return Message("topic", b"key", b"{}", headers, 0, 0, int((time.time() - age_s) * 1000))


@pytest.mark.parametrize("service", ["health_monitor", "degradation_engine", "inventory_api", "flag_service"])
def test_a_service_that_does_not_trace_loads_nothing_for_it(service: str) -> None:
    code = (
        f"import sys, {service}.main as _\n"
        "from resilience_runtime import TraceSettings, load, start_tracing\n"
        "start_tracing(load(TraceSettings), 's', 'i')\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry.sdk.trace', 'opentelemetry.exp'))])"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "environment",
    [{}, {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "true"}],
    ids=["unset", "disabled"],
)
def test_tracing_is_off_unless_asked_for(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert isinstance(start_tracing(TraceSettings(), "s", "i"), NoTracing)


def test_spans_reach_a_collector_over_otlp(monkeypatch: pytest.MonkeyPatch) -> None:
    with Collector() as collector:
        monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        tracing = start_tracing(TraceSettings(), "some-service", "one")

        with tracing.span("work", parent=CALLER, what__kind="test"):
            inside = current_traceparent()
        tracing.close()

    (span,) = collector.spans
    assert (span.service, span.name, span.trace_id, span.parent_id) == ("some-service", "work", TRACE, SPAN)
    assert inside == f"00-{TRACE}-{span.span_id}-01"


async def test_a_collector_that_is_away_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # takes connections and never answers
        monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{deaf.getsockname()[1]}")
        tracing = start_tracing(TraceSettings(), "some-service", "one")
        began_s = time.monotonic()

        async with finishing(tracing):
            with tracing.span("work"):
                pass

        assert time.monotonic() - began_s < CLOSE_S + 1


async def test_a_request_goes_on_with_its_callers_trace(
    tracing: OtelTracing, exporter: InMemorySpanExporter
) -> None:
    answer = await ask(tracing, "/things/7", traceparent=CALLER)

    span = only(exporter)
    assert span.context is not None
    assert span.parent is not None
    assert (f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}") == (TRACE, SPAN)
    assert span.name == "GET /things/{number}"
    assert span.attributes is not None
    assert span.attributes["http.response.status_code"] == 409
    assert answer.json()["trace_id"] == TRACE


@pytest.mark.usefixtures("logging_restored")
async def test_log_lines_of_a_request_name_its_trace(
    tracing: OtelTracing, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("INFO", "json", "some-service", "one")

    await ask(tracing, "/things/7", traceparent=CALLER)
    structlog.get_logger("here").info("later")

    asked, later = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (asked["event"], asked["trace_id"]) == ("asked", TRACE)
    assert "trace_id" not in later


@pytest.mark.usefixtures("logging_restored")
async def test_an_unexpected_error_has_a_trace_and_its_span_is_an_error(
    tracing: OtelTracing, exporter: InMemorySpanExporter
) -> None:
    configure_logging("ERROR", "json", "some-service", "one")

    answer = await ask(tracing, "/broken")

    span = only(exporter)
    assert span.context is not None
    assert answer.json()["trace_id"] == f"{span.context.trace_id:032x}"
    assert not span.status.is_ok


async def test_an_untraced_answer_names_no_trace_and_health_makes_no_span(
    tracing: OtelTracing, exporter: InMemorySpanExporter
) -> None:
    untraced = await ask(NoTracing(), "/things/7", traceparent=CALLER)
    await ask(tracing, "/health/ready")

    assert "trace_id" not in untraced.json()
    assert exporter.get_finished_spans() == ()


def test_a_fresh_record_is_applied_within_its_trace(
    tracing: OtelTracing, exporter: InMemorySpanExporter
) -> None:
    seen: list[str | None] = []
    apply = tracing.applied(lambda _: seen.append(current_trace_id()))

    for message in (record(CALLER.encode()), record(None), record(CALLER.encode(), age_s=3600)):
        apply(message)

    assert seen == [TRACE, None, None]
    assert only(exporter).name == "process topic"


@pytest.mark.parametrize(
    "value",
    [b"", b"nonsense", b"\xff\xfe", CALLER.upper().encode(), b"00-" + b"0" * 32 + b"-" + b"b" * 16 + b"-01"],
)
def test_what_is_no_trace_context_is_none(value: bytes) -> None:
    assert traceparent_of((("ce_traceparent", value),)) is None


def test_without_tracing_a_trace_is_handed_on() -> None:
    with NoTracing().span("work", parent=CALLER):
        assert current_traceparent() == CALLER
    assert current_traceparent() is None
