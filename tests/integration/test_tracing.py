"""One trace from a probe to what follows from it, over a real Kafka and an engine in its own process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from flag_service.outside import build_outside
from flag_service.settings import Settings as FlagSettings
from health_monitor.attempt import Attempts, Limits
from health_monitor.domain import ProbeError
from health_monitor.loop import Identity, Monitor, Target
from inventory_api.adapters.feed import TOPICS, LevelFeed
from resilience_cli.topics import apply_declared
from resilience_contracts import HealthObserved, Level, Outcome, Topic, View, encode
from resilience_runtime import (
    KafkaPublisher,
    Message,
    PublishQueue,
    ReplicaReader,
    Snapshot,
    SystemClock,
    current_traceparent,
)
from resilience_runtime.otel import OtelTracing
from tests.e2e.quick import quick_policy, quick_policy_text
from tests.fixtures.collector import Collected, Collector
from tests.flag_service.running import until
from tests.integration.engine_process import EngineProcess, new_scope

POLICY = quick_policy()


class Probe:
    """Answers at once, until it is broken."""

    broken = False

    async def check(self) -> None:
        if self.broken:
            raise ProbeError(Outcome.REFUSED, "no such host")

    async def close(self) -> None:
        """Keep nothing."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as started:
        yield started


@pytest.fixture
def engine(kafka_bootstrap: str, tmp_path: Path, collector: Collector) -> Iterator[EngineProcess]:
    apply_declared(kafka_bootstrap)
    policy = tmp_path / "policy.yaml"
    policy.write_text(quick_policy_text(), encoding="utf-8")
    process = EngineProcess(
        kafka_bootstrap,
        tmp_path,
        RESILIENCE_POLICY_FILE=str(policy),
        OTEL_TRACES_EXPORTER="otlp",
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        OTEL_BSP_SCHEDULE_DELAY="100",
    ).start()
    yield process
    assert process.stop() == 0


def traced(service: str, collector: Collector) -> OtelTracing:
    exporter = OTLPSpanExporter(endpoint=f"{collector.url}/v1/traces")
    return OtelTracing(service, "one", SimpleSpanProcessor(exporter))


@asynccontextmanager
async def probing(scope: str, probe: Probe, bootstrap: str, tracing: OtelTracing) -> AsyncIterator[None]:
    """Probe every dependency, `probe` being PostgreSQL's, as health-monitor's own wiring does."""
    async with KafkaPublisher(bootstrap) as publisher:
        queue = PublishQueue(publisher)

        def emit(event: HealthObserved) -> None:
            queue.offer(*encode(event, "/services/health-monitor/one", current_traceparent()))

        probes = {name: probe if name == "postgresql" else Probe() for name in POLICY.dependencies}
        monitor = Monitor(
            identity=Identity(scope, "one", "boot"),
            targets=[
                Target(name, Attempts(name, each, Limits(500, 1), lambda: 0.0), 0.5, 1)
                for name, each in probes.items()
            ],
            clock=SystemClock(),
            random=Random(1),
            emit=emit,
            watchers=(),
            slots=4,
            tracing=tracing,
        )
        tasks = [asyncio.create_task(monitor.run()), asyncio.create_task(queue.run())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


def one(spans: list[Collected], service: str, name: str) -> Collected:
    found = [span for span in spans if (span.service, span.name) == (service, name)]
    assert len(found) == 1, spans
    return found[0]


async def test_probe_event_level_and_changed_behaviour_are_one_trace(
    kafka_bootstrap: str, tmp_path: Path, engine: EngineProcess, collector: Collector
) -> None:
    scope, probe, view = new_scope(), Probe(), View(POLICY)
    feed = LevelFeed(view, Snapshot(tmp_path / "view.json"))
    changed: dict[str, str] = {}

    def level() -> str | None:
        known = view.level(scope, SystemClock().now())
        return known.state.level if known else None

    def note(message: Message) -> None:
        if (message.key or b"").decode() == scope:
            feed.apply(message)
            changed.setdefault(level() or "", (current_traceparent() or "").partition("-")[2][:32])

    async with asyncio.timeout(60), KafkaPublisher(kafka_bootstrap) as publisher:
        inventory = ReplicaReader(kafka_bootstrap, TOPICS, traced("inventory-api", collector).applied(note))
        outside = build_outside(
            FlagSettings(kafka_bootstrap_servers=kafka_bootstrap),
            publisher,
            traced("flag-service", collector),
        )
        flags = outside.open_reader((Topic.LEVELS,), lambda _: None, lambda: None, ignore)
        readers = [asyncio.create_task(reader.run()) for reader in (inventory, flags)]
        await asyncio.gather(engine.wait_ready(), inventory.wait_caught_up(), flags.wait_caught_up())
        async with probing(scope, probe, kafka_bootstrap, traced("health-monitor", collector)):
            await until(lambda: level() == Level.OPTIMAL.name)
            probe.broken = True
            await until(lambda: level() == Level.MINIMAL.name)
        trace = changed[Level.MINIMAL.name]
        await until(lambda: len([span for span in collector.spans if span.trace_id == trace]) >= 4)
        for reader in readers:
            reader.cancel()
        await asyncio.wait(readers)

    spans = [span for span in collector.spans if span.trace_id == trace]
    probed = one(spans, "health-monitor", "probe postgresql")
    judged = one(spans, "degradation-engine", "judge")
    assert (probed.parent_id, judged.parent_id) == ("", probed.span_id)
    for service in ("inventory-api", "flag-service"):
        assert one(spans, service, f"process {Topic.LEVELS}").parent_id == judged.span_id


async def ignore(_message: Message, _error: Exception) -> None:
    """Do nothing with what is bad."""
