"""What the dashboards show: one row a panel, one table a dashboard."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Shape(StrEnum):
    """How a panel shows its figures."""

    STAT = "stat"
    LINES = "timeseries"
    STATES = "state-timeline"


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel.

    Attributes:
        queries: PromQL by legend; `{{label}}` in a legend is filled in.
        unit: Grafana's name of the unit: `s`, `percentunit`, `reqps`, `bytes`, `short`.
        width: of 24 columns.
    """

    title: str
    queries: dict[str, str]
    help: str
    shape: Shape = Shape.LINES
    unit: str = "short"
    width: int = 12


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A page of panels; `uid` is its address and its file name."""

    uid: str
    title: str
    panels: tuple[Panel, ...]


LEVELS = Dashboard(
    "resilience-levels",
    "Resilience: levels and dependencies",
    (
        Panel(
            "Level",
            {"{{scope}}": "scope:level:rank"},
            "Rank of each scope: 0 OPTIMAL, 1 DEGRADED, 2 LIMITED, 3 MINIMAL, 4 EMERGENCY.",
            Shape.STATES,
            width=24,
        ),
        Panel(
            "Stale scopes",
            {"scopes": "sum(flag_stale_scopes)"},
            "Scopes that are served on an old level. Anything but 0 wakes somebody.",
            Shape.STAT,
            width=6,
        ),
        Panel(
            "Holds in force", {"holds": "max(flag_holds_active)"}, "Set by operators.", Shape.STAT, width=6
        ),
        Panel(
            "Budget of an hour at LIMITED or worse",
            {"{{scope}}": "scope:limited_or_worse:ratio_1h / 0.01"},
            "Burn rate: 1 spends the month's 1 % exactly, 14.4 wakes somebody.",
            Shape.STAT,
            width=6,
        ),
        Panel(
            "Changes of level in an hour",
            {"{{level}}": "sum by (level) (increase(degradation_engine_level_changes_total[1h]))"},
            "By the new level. Many mean that a dependency flaps.",
            Shape.STAT,
            width=6,
        ),
        Panel(
            "Probes that fail",
            {
                "{{dependency}}": 'sum by (dependency) (rate(health_monitor_probes_total{outcome!="OK"}[5m]))'
                " / sum by (dependency) (rate(health_monitor_probes_total[5m]))"
            },
            "Share of the probes of five minutes.",
            unit="percentunit",
        ),
        Panel(
            "Time of a probe, 95 of 100",
            {
                "{{dependency}}": "histogram_quantile(0.95,"
                " sum by (dependency, le) (rate(health_monitor_probe_seconds_bucket[5m])))"
            },
            "Of the probes that worked.",
            unit="s",
        ),
        Panel(
            "Breakers that are open",
            {"{{dependency}}": 'max by (dependency) (inventory_breaker_state{state=~"OPEN|FORCED_OPEN"})'},
            "1 while a replica's calls are refused.",
            Shape.STATES,
        ),
        Panel(
            "Calls refused by breakers",
            {"{{dependency}}": "sum by (dependency) (rate(inventory_breaker_refused_total[5m]))"},
            "What was spared a dependency that fails.",
            unit="reqps",
        ),
    ),
)

SERVICES = Dashboard(
    "resilience-services",
    "Resilience: services",
    (
        Panel(
            "Requests",
            {"{{status}}": "sum by (status) (rate(inventory_http_request_duration_seconds_count[5m]))"},
            "Of inventory-api, by status.",
            unit="reqps",
        ),
        Panel(
            "Requests that fail",
            {
                "5 minutes": "inventory:requests_failed:ratio_rate5m",
                "1 hour": "inventory:requests_failed:ratio_rate1h",
                "6 hours": "inventory:requests_failed:ratio_rate6h",
            },
            "Share with a status of 500 and more. The month's budget is 0.1 %.",
            unit="percentunit",
        ),
        Panel(
            "Time to answer, 99 of 100",
            {
                "{{route}}": "histogram_quantile(0.99,"
                " sum by (route, le) (rate(inventory_http_request_duration_seconds_bucket[5m])))"
            },
            "By route.",
            unit="s",
        ),
        Panel(
            "Requests shed",
            {"{{importance}}": "sum by (importance) (rate(inventory_requests_shed_total[5m]))"},
            "More was asked than could be answered in time.",
            unit="reqps",
        ),
        Panel(
            "Accepted writes that wait",
            {"waiting": "max(inventory_commands_waiting)"},
            "In the command log, while PostgreSQL is away or catching up.",
        ),
        Panel(
            "Oldest write and oldest change",
            {
                "write to be applied": "max(inventory_commands_age_seconds)",
                "change to be published": "max(inventory_outbox_age_seconds)",
            },
            "How long each waits.",
            unit="s",
        ),
        Panel(
            "Engine: events taken and refused",
            {
                "{{result}}": "sum by (result) (rate(degradation_engine_events_total[5m]))",
                "refused: {{reason}}": "sum by (reason) (rate(degradation_engine_refused_events_total[5m]))",
            },
            "Events a second.",
        ),
        Panel(
            "Engine: events behind, partitions owned",
            {
                "behind": "max(degradation_engine_lag_events)",
                "partitions": "sum(degradation_engine_partitions)",
            },
            "Six partitions are owned, and nothing is behind.",
        ),
        Panel(
            "Event streams",
            {
                "levels": "sum(flag_stream_clients)",
                "stock": "sum(inventory_stream_clients)",
                "dropped in an hour": "sum(increase(flag_stream_clients_dropped_total[1h]))"
                " + sum(increase(inventory_stream_clients_dropped_total[1h]))",
            },
            "Clients of flag-service and of inventory-api.",
        ),
        Panel(
            "Webhooks",
            {
                "levels {{outcome}}": "sum by (outcome) (rate(flag_webhook_attempts_total[5m]))",
                "stock {{outcome}}": "sum by (outcome) (rate(inventory_webhook_attempts_total[5m]))",
            },
            "Deliveries tried, by outcome.",
            unit="reqps",
        ),
        Panel(
            "Events lost",
            {"{{job}}": "sum by (job) (increase(health_monitor_events_lost_total[1h]))"},
            "Dropped while Kafka was away.",
        ),
        Panel(
            "Memory",
            {"{{job}}": "max by (job) (process_resident_memory_bytes)"},
            "Of each service.",
            unit="bytes",
        ),
    ),
)

DASHBOARDS = (LEVELS, SERVICES)
