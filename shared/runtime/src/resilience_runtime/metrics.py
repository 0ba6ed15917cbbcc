"""Metrics as data: a table declares them once, a registry is built from it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, make_asgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from .serving import serve

NAME = re.compile(r"^[a-z][a-z0-9_]*[a-z0-9]$")

Reading = float | Mapping[tuple[str, ...], float]


class Kind(Enum):
    """What a metric can do."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One row of a table of metrics.

    Attributes:
        name: as Prometheus shows it, with its unit: `_seconds`, `_bytes`, `_total` of a counter.
        buckets: upper bounds of a histogram, in the unit of the name.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a name against the conventions of Prometheus."""
        if not NAME.match(self.name) or (self.kind is Kind.COUNTER) != self.name.endswith("_total"):
            raise ValueError(
                f"{self.name}: lower case words; `_total` at the end of counters and of nothing else"
            )
        if (self.kind is Kind.HISTOGRAM) != bool(self.buckets):
            raise ValueError(f"{self.name}: a histogram has buckets, nothing else has")


M = TypeVar("M", bound=MetricWrapperBase)


class Metrics:
    """The metrics of one process, found by their row."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._built: dict[Metric, MetricWrapperBase] = {}

    def declare(self, metric: Metric) -> None:
        """Add a row.

        Raises:
            ValueError: another row has this name.
        """
        match metric.kind:
            case Kind.COUNTER:
                built: MetricWrapperBase = Counter(
                    metric.name, metric.help, metric.labels, registry=self.registry
                )
            case Kind.GAUGE:
                built = Gauge(metric.name, metric.help, metric.labels, registry=self.registry)
            case Kind.HISTOGRAM:
                built = Histogram(
                    metric.name, metric.help, metric.labels, registry=self.registry, buckets=metric.buckets
                )
        self._built[metric] = built

    def counter(self, metric: Metric) -> Counter:
        """Return a declared counter."""
        return self._find(metric, Counter)

    def gauge(self, metric: Metric) -> Gauge:
        """Return a declared gauge."""
        return self._find(metric, Gauge)

    def histogram(self, metric: Metric) -> Histogram:
        """Return a declared histogram."""
        return self._find(metric, Histogram)

    def watch(self, metric: Metric, read: Callable[[], Reading]) -> None:
        """Take a declared counter's or gauge's value from elsewhere each time it is scraped.

        Args:
            metric: a row that was declared.
            read: returns the value, or one value for each tuple of label values.
        """
        self.registry.unregister(self._find(metric, MetricWrapperBase))
        self.registry.register(_Watched(metric, read))

    def application(self) -> Callable[..., Any]:
        """Return an ASGI application that answers with every metric."""
        return make_asgi_app(self.registry)

    def _find(self, metric: Metric, kind: type[M]) -> M:
        built = self._built.get(metric)
        if not isinstance(built, kind):
            raise KeyError(f"{metric.name} is not a declared {kind.__name__.lower()}")
        return built


class _Watched(Collector):
    def __init__(self, metric: Metric, read: Callable[[], Reading]) -> None:
        self._metric = metric
        self._read = read

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        kind = CounterMetricFamily if self._metric.kind is Kind.COUNTER else GaugeMetricFamily
        family = kind(self._metric.name, self._metric.help, labels=self._metric.labels)
        reading = self._read()
        values = reading if isinstance(reading, Mapping) else {(): reading}
        for labels, value in values.items():
            family.add_metric(labels, value)
        yield family


def build_registry(*tables: Iterable[Metric]) -> Metrics:
    """Build a registry of the process's own figures and of every row of the tables."""
    metrics = Metrics(CollectorRegistry())
    ProcessCollector(registry=metrics.registry)
    for table in tables:
        for metric in table:
            metrics.declare(metric)
    return metrics


async def serve_metrics(metrics: Metrics, host: str, port: int) -> None:
    """Serve `/metrics` until cancelled.

    Raises:
        StartupError: the port is taken.
    """
    await serve(metrics.application(), host, port, variable="METRICS_PORT")
