from __future__ import annotations

import pytest
from prometheus_client import generate_latest

from resilience_runtime import Kind, Metric, build_registry

SEEN = Metric("things_seen_total", Kind.COUNTER, "Things seen.", ("kind",))
WAITING = Metric("things_waiting", Kind.GAUGE, "Things that wait.")
LATENCY = Metric("thing_duration_seconds", Kind.HISTOGRAM, "How long.", buckets=(0.1, 1))


def test_a_table_becomes_metrics_that_can_be_scraped() -> None:
    metrics = build_registry((SEEN, WAITING), (LATENCY,))

    metrics.counter(SEEN).labels("red").inc(2)
    metrics.gauge(WAITING).set(7)
    metrics.histogram(LATENCY).observe(0.5)

    text = generate_latest(metrics.registry).decode()
    assert 'things_seen_total{kind="red"} 2.0' in text
    assert "things_waiting 7.0" in text
    assert 'thing_duration_seconds_bucket{le="1.0"} 1.0' in text
    assert "process_resident_memory_bytes" in text


def test_a_watched_metric_is_read_when_it_is_scraped() -> None:
    metrics = build_registry((SEEN, WAITING))
    counts: dict[tuple[str, ...], float] = {("red",): 1.0}
    metrics.watch(SEEN, lambda: counts)
    metrics.watch(WAITING, lambda: 5)

    counts["blue",] = 3.0

    text = generate_latest(metrics.registry).decode()
    assert 'things_seen_total{kind="blue"} 3.0' in text
    assert "things_waiting 5.0" in text


@pytest.mark.parametrize(
    ("name", "kind", "buckets"),
    [
        ("things", Kind.COUNTER, ()),
        ("things_total", Kind.GAUGE, ()),
        ("Things", Kind.GAUGE, ()),
        ("things_seconds", Kind.HISTOGRAM, ()),
        ("things_seconds", Kind.GAUGE, (1.0,)),
    ],
)
def test_a_name_against_the_conventions_is_refused(name: str, kind: Kind, buckets: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=name):
        Metric(name, kind, "x", buckets=buckets)


def test_two_rows_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="things_waiting"):
        build_registry((WAITING,), (Metric("things_waiting", Kind.GAUGE, "Something else."),))


def test_a_metric_that_was_not_declared_or_is_of_another_kind_is_refused() -> None:
    metrics = build_registry((WAITING,))

    with pytest.raises(KeyError):
        metrics.counter(SEEN)
    with pytest.raises(KeyError):
        metrics.counter(WAITING)
