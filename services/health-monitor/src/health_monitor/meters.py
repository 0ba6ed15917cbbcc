"""What this service measures, declared once."""

from __future__ import annotations

from resilience_runtime import Kind, Metric, Metrics

from .domain import Window

PROBES = Metric("health_monitor_probes_total", Kind.COUNTER, "Probes by outcome", ("dependency", "outcome"))
LATENCY = Metric(
    "health_monitor_probe_seconds",
    Kind.HISTOGRAM,
    "Duration of probes that worked",
    ("dependency",),
    (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5),
)
MISSES = Metric("health_monitor_consecutive_misses", Kind.GAUGE, "Misses since the last hit", ("dependency",))
LAST = Metric(
    "health_monitor_last_probe_timestamp_seconds", Kind.GAUGE, "When the last probe ended", ("dependency",)
)
STALLED = Metric(
    "health_monitor_stalled_seconds_total", Kind.COUNTER, "How long this process could not run its own tasks"
)
SUSPECT = Metric(
    "health_monitor_self_suspect",
    Kind.GAUGE,
    "1 while every probe fails and so does this process's own loopback",
)
WAITING = Metric("health_monitor_events_waiting", Kind.GAUGE, "Events that wait for Kafka")
LOST = Metric(
    "health_monitor_events_lost_total",
    Kind.COUNTER,
    "Events dropped, oldest first, while Kafka was away, or refused",
)

METRICS = (PROBES, LATENCY, MISSES, LAST, STALLED, SUSPECT, WAITING, LOST)


class Meters:
    """Measures each observation."""

    def __init__(self, metrics: Metrics) -> None:
        self._probes = metrics.counter(PROBES)
        self._latency = metrics.histogram(LATENCY)
        self._misses = metrics.gauge(MISSES)
        self._last = metrics.gauge(LAST)

    def observed(self, dependency: str, window: Window) -> None:
        """Count the newest observation of the window."""
        seen = window.recent[-1]
        self._probes.labels(dependency, seen.outcome.value).inc()
        self._misses.labels(dependency).set(window.consecutive_misses)
        self._last.labels(dependency).set(seen.at.timestamp())
        if seen.outcome.counts and not seen.outcome.miss:
            self._latency.labels(dependency).observe(seen.latency_ms / 1000)
