"""Every metric of this service, declared once."""

from __future__ import annotations

from functools import cache

from inventory_api.adapters.applier import Applier, HeldBy
from inventory_api.adapters.auditing import Auditing
from inventory_api.adapters.backlog import BacklogWatch
from inventory_api.adapters.breakers import BreakerReports
from inventory_api.adapters.redo import RedoRelay
from inventory_api.adapters.relay import Relay
from inventory_api.adapters.sql.schema import Schema
from inventory_api.http.access import Door
from inventory_api.http.measure import Observe
from inventory_api.http.overload import Lanes
from inventory_api.http.services import Services
from inventory_api.live import LivePart
from resilience_guards import State
from resilience_runtime import Kind, Metric, Metrics, PublishQueue

REQUESTS = Metric(
    "inventory_http_request_duration_seconds",
    Kind.HISTOGRAM,
    "Time to answer a request.",
    ("method", "route", "status"),
    (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.3, 0.5, 1.0, 2.5),
)
LEVEL = Metric("inventory_level_rank", Kind.GAUGE, "Level in force: 0 OPTIMAL to 4 EMERGENCY; -1 unknown.")
FEED_AGE = Metric(
    "inventory_level_feed_age_seconds", Kind.GAUGE, "Age of the newest record of the level feed."
)
BREAKER_STATE = Metric(
    "inventory_breaker_state", Kind.GAUGE, "1 for the state that a breaker is in.", ("dependency", "state")
)
BREAKER_REFUSED = Metric(
    "inventory_breaker_refused_total", Kind.COUNTER, "Calls that a breaker refused.", ("dependency",)
)
BREAKER_CHANGES = Metric(
    "inventory_breaker_changes_total", Kind.COUNTER, "Changes of a breaker's state.", ("dependency", "state")
)
STOCK_READS = Metric(
    "inventory_stock_reads_total", Kind.COUNTER, "SKUs read, by where the answer was.", ("layer",)
)
COMMANDS = Metric(
    "inventory_commands_total",
    Kind.COUNTER,
    "Records taken out of the command log, by outcome.",
    ("outcome",),
)
COMMANDS_WAITING = Metric(
    "inventory_commands_waiting",
    Kind.GAUGE,
    "Commands not applied yet; -1 where another replica applies them.",
)
COMMANDS_HELD = Metric(
    "inventory_commands_held",
    Kind.GAUGE,
    "1 while commands wait for the dead letter of an unreadable one, by what that waits for: Kafka, or the cap on letters.",
    ("by",),
)
COMMANDS_AGE = Metric(
    "inventory_commands_age_seconds",
    Kind.GAUGE,
    "How long the oldest command waits to be applied; -1 before it is known.",
)
OUTBOX_AGE = Metric(
    "inventory_outbox_age_seconds",
    Kind.GAUGE,
    "Age of the oldest change not published yet; -1 where another replica publishes.",
)
OUTBOX_PUBLISHED = Metric(
    "inventory_outbox_published_total", Kind.COUNTER, "Records published from the outbox."
)
REDO_AGE = Metric(
    "inventory_redo_age_seconds",
    Kind.GAUGE,
    "Age of the oldest write that a restore could not bring back yet; -1 where another replica publishes.",
)
AUDIT_VIOLATIONS = Metric(
    "inventory_audit_violations",
    Kind.GAUGE,
    "What contradicts an invariant, by audit; absent where another replica audits.",
    ("audit",),
)
REPORTS_DROPPED = Metric(
    "inventory_health_reports_dropped_total", Kind.COUNTER, "Breaker reports dropped while Kafka was away."
)
REFUSED = Metric(
    "inventory_requests_refused_total",
    Kind.COUNTER,
    "Requests refused at the door: unknown keys, missing scopes, quotas, sizes.",
    ("status",),
)
SHED = Metric(
    "inventory_requests_shed_total",
    Kind.COUNTER,
    "Requests refused because more was asked than could be answered in time.",
    ("importance",),
)
LIMIT = Metric(
    "inventory_requests_limit",
    Kind.GAUGE,
    "Requests let in at once: in a turn of the event loop, and under way in each lane.",
    ("lane",),
)
UNDER_WAY = Metric("inventory_requests_under_way", Kind.GAUGE, "Requests that count towards it.", ("lane",))
SCHEMA_READY = Metric("inventory_schema_ready", Kind.GAUGE, "Whether the database's schema is up to date.")
STREAMS = Metric("inventory_stream_clients", Kind.GAUGE, "Event streams of stock that are open.")
STREAMS_DROPPED = Metric(
    "inventory_stream_clients_dropped_total", Kind.COUNTER, "Clients of streams dropped as too slow."
)
WEBHOOK_ATTEMPTS = Metric(
    "inventory_webhook_attempts_total", Kind.COUNTER, "Deliveries of webhooks tried here.", ("outcome",)
)
WEBHOOKS_FAILING = Metric(
    "inventory_webhooks_failing",
    Kind.GAUGE,
    "Subscriptions whose last delivery failed, or that were given up.",
)
COURIER = Metric("inventory_delivers_webhooks", Kind.GAUGE, "1 on the replica that delivers webhooks.")

METRICS = (
    REQUESTS,
    LEVEL,
    FEED_AGE,
    BREAKER_STATE,
    BREAKER_REFUSED,
    BREAKER_CHANGES,
    STOCK_READS,
    COMMANDS,
    COMMANDS_WAITING,
    COMMANDS_HELD,
    COMMANDS_AGE,
    OUTBOX_AGE,
    OUTBOX_PUBLISHED,
    REDO_AGE,
    AUDIT_VIOLATIONS,
    REPORTS_DROPPED,
    REFUSED,
    SHED,
    LIMIT,
    UNDER_WAY,
    SCHEMA_READY,
    STREAMS,
    STREAMS_DROPPED,
    WEBHOOK_ATTEMPTS,
    WEBHOOKS_FAILING,
    COURIER,
)


def observe_requests(metrics: Metrics) -> Observe:
    """Return what is told of each answer."""
    histogram = metrics.histogram(REQUESTS)
    series = cache(lambda method, route, status: histogram.labels(method, route, str(status)))

    def observe(method: str, route: str, status: int, took_s: float) -> None:
        series(method, route, status).observe(took_s)

    return observe


def watch_door(metrics: Metrics, door: Door, lanes: Lanes) -> None:
    """Let it be read how many were refused at the door and how many may pass."""
    limiters = {"turn": lanes.turn, **{lane.name.lower(): each for lane, each in lanes.limiters.items()}}
    metrics.watch(REFUSED, lambda: {(str(status),): number for status, number in door.refused.items()})
    metrics.watch(SHED, lambda: {(each.name.lower(),): number for each, number in lanes.shed.items()})
    metrics.watch(LIMIT, lambda: {(name,): each.limit for name, each in limiters.items()})
    metrics.watch(UNDER_WAY, lambda: {(name,): each.in_flight for name, each in limiters.items()})


def watch_live(metrics: Metrics, part: LivePart) -> None:
    """Let it be read how many listen, and how deliveries fare."""
    metrics.watch(STREAMS, lambda: float(part.streams.clients))
    metrics.watch(STREAMS_DROPPED, lambda: float(part.streams.dropped))
    metrics.watch(WEBHOOK_ATTEMPTS, lambda: {(how,): float(n) for how, n in part.courier.attempts.items()})
    metrics.watch(WEBHOOKS_FAILING, lambda: float(part.subscriptions.failing))
    metrics.watch(COURIER, lambda: float(part.lease.held))


def watch(
    metrics: Metrics,
    *,
    services: Services,
    applier: Applier,
    backlog: BacklogWatch,
    relay: Relay,
    redo: RedoRelay,
    auditing: Auditing,
    reports: BreakerReports,
    queue: PublishQueue,
    schema: Schema,
) -> None:
    """Let the metrics be read where their values are."""

    def level() -> float:
        seen = services.switches.level()
        return float(seen.level) if seen else -1

    def states() -> dict[tuple[str, ...], float]:
        breakers = services.breakers.items()
        return {
            (name, state.value): float(breaker.state is state)
            for name, breaker in breakers
            for state in State
        }

    def waiting() -> float:
        return -1 if applier.waiting is None else applier.waiting

    def outcomes() -> dict[tuple[str, ...], float]:
        return {
            ("applied",): applier.applied,
            ("exception",): applier.exceptions,
            ("unreadable",): applier.unreadable,
        }

    def changes() -> dict[tuple[str, ...], float]:
        return {labels: float(number) for labels, number in reports.changes.items()}

    def refused() -> dict[tuple[str, ...], float]:
        return {(name,): breaker.snapshot().refused_total for name, breaker in services.breakers.items()}

    metrics.watch(LEVEL, level)
    metrics.watch(FEED_AGE, lambda: services.feed_age_s() or 0.0)
    metrics.watch(BREAKER_STATE, states)
    metrics.watch(BREAKER_REFUSED, refused)
    metrics.watch(BREAKER_CHANGES, changes)
    metrics.watch(STOCK_READS, lambda: {(layer.value,): n for layer, n in services.stock.served.items()})
    metrics.watch(COMMANDS, outcomes)
    metrics.watch(COMMANDS_WAITING, waiting)
    metrics.watch(COMMANDS_HELD, lambda: {(by.value,): float(by is applier.held_by) for by in HeldBy})
    metrics.watch(COMMANDS_AGE, lambda: -1 if (age_s := backlog.age_s()) is None else age_s)
    metrics.watch(OUTBOX_AGE, lambda: -1 if (age_s := relay.age_s()) is None else age_s)
    metrics.watch(REDO_AGE, lambda: -1 if (age_s := redo.age_s()) is None else age_s)
    metrics.watch(OUTBOX_PUBLISHED, lambda: relay.published)
    metrics.watch(AUDIT_VIOLATIONS, lambda: {(name,): n for name, n in auditing.violations.items()})
    metrics.watch(REPORTS_DROPPED, lambda: queue.dropped)
    metrics.watch(SCHEMA_READY, lambda: float(schema.ready))
