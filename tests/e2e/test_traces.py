"""The four real services trace to one collector: what follows from a killed dependency is one trace."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from resilience_contracts import Level, Topic
from tests.e2e.shop import Shop, until
from tests.e2e.test_outages import both_at
from tests.fixtures.collector import Collected, Collector
from tests.fixtures.stack import RunningStack

pytestmark = [pytest.mark.e2e, pytest.mark.operations, pytest.mark.timeout(300)]

SERVICES = ("health-monitor", "degradation-engine", "inventory-api", "flag-service")
WAY = {
    ("health-monitor", "probe s3"),
    ("degradation-engine", "judge"),
    ("inventory-api", f"process {Topic.LEVELS}"),
    ("flag-service", f"process {Topic.LEVELS}"),
}


def restart_all(stack: RunningStack, **env: str) -> None:
    with ThreadPoolExecutor(len(SERVICES)) as side_by_side:
        list(side_by_side.map(lambda service: stack.restart(service, **env), SERVICES))


@pytest.fixture
def collector(quick_stack: RunningStack) -> Iterator[Collector]:
    with Collector() as collector:
        restart_all(
            quick_stack,
            OTEL_TRACES_EXPORTER="otlp",
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
            OTEL_BSP_SCHEDULE_DELAY="100",
        )
        yield collector
        restart_all(quick_stack)


def traces(spans: list[Collected]) -> dict[str, list[Collected]]:
    by_trace: dict[str, list[Collected]] = defaultdict(list)
    for span in spans:
        by_trace[span.trace_id].append(span)
    return by_trace


def test_a_killed_dependency_gives_one_trace_from_its_probe_to_what_both_services_do(
    quick_stack: RunningStack, collector: Collector, shop: Shop
) -> None:
    both_at(shop, Level.OPTIMAL)
    before = len(collector.spans)

    def whole() -> list[Collected] | None:
        for spans in traces(collector.spans[before:]).values():
            if {(span.service, span.name) for span in spans} >= WAY:
                return spans
        return None

    quick_stack.stop("s3")
    try:
        both_at(shop, Level.DEGRADED)
        trace = until("one trace over four services", whole)
    finally:
        quick_stack.restore("s3")
    both_at(shop, Level.OPTIMAL)

    by_id = {span.span_id: span for span in trace}
    ends = [span for span in trace if span.name == f"process {Topic.LEVELS}"]
    for end in ends:
        judged = by_id[end.parent_id]
        assert judged.name == "judge"
        assert by_id[judged.parent_id].name == "probe s3"
