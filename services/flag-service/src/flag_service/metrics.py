"""The service's metrics, declared once."""

from __future__ import annotations

from flag_service.application.desk import HoldDesk
from flag_service.domain.subscription import Subscription
from flag_service.domain.switchboard import Switchboard
from flag_service.http.hub import Hub
from flag_service.http.limits import Gate
from resilience_contracts import LevelView
from resilience_delivery import Courier, Lease, Subscriptions
from resilience_runtime.bus import Reader
from resilience_runtime.clock import Clock
from resilience_runtime.metrics import Kind, Metric, Metrics

LEVEL_RANK = Metric("flag_level_rank", Kind.GAUGE, "Rank of the level served (0 is OPTIMAL).", ("scope",))
STALE_SCOPES = Metric("flag_stale_scopes", Kind.GAUGE, "Scopes whose level is served though it is stale.")
HOLDS = Metric("flag_holds_active", Kind.GAUGE, "Holds in force.")
CAUGHT_UP = Metric("flag_feed_caught_up", Kind.GAUGE, "1 when the topics have been read to their end.")
FEED_AGE = Metric(
    "flag_feed_age_seconds", Kind.GAUGE, "Seconds since a record last came; -1 before the first."
)
STREAMS = Metric("flag_stream_clients", Kind.GAUGE, "Event streams that are open.")
STREAMS_DROPPED = Metric("flag_stream_clients_dropped_total", Kind.COUNTER, "Clients dropped as too slow.")
POLICY_DIFFERS = Metric(
    "flag_policy_differs",
    Kind.GAUGE,
    "1 when the engine decides by another policy than this service has.",
    ("scope",),
)
HOLD_CHANGES = Metric(
    "flag_hold_changes_total", Kind.COUNTER, "Holds set, edited and ended here.", ("action",)
)

RATE_LIMITED = Metric("flag_rate_limited_total", Kind.COUNTER, "Requests refused as too many of one caller.")
WEBHOOK_ATTEMPTS = Metric(
    "flag_webhook_attempts_total", Kind.COUNTER, "Deliveries of webhooks tried here.", ("outcome",)
)
WEBHOOKS_FAILING = Metric(
    "flag_webhooks_failing", Kind.GAUGE, "Subscriptions whose last delivery failed, or that were given up."
)
LEADS = Metric("flag_leads", Kind.GAUGE, "1 on the replica that delivers webhooks.")

METRICS = (
    LEVEL_RANK,
    STALE_SCOPES,
    HOLDS,
    CAUGHT_UP,
    FEED_AGE,
    STREAMS,
    STREAMS_DROPPED,
    POLICY_DIFFERS,
    HOLD_CHANGES,
    RATE_LIMITED,
    WEBHOOK_ATTEMPTS,
    WEBHOOKS_FAILING,
    LEADS,
)


def watch(
    metrics: Metrics,
    *,
    switchboard: Switchboard,
    reader: Reader,
    hub: Hub,
    desk: HoldDesk,
    gate: Gate,
    courier: Courier[Subscription],
    subscriptions: Subscriptions[Subscription],
    lease: Lease,
    clock: Clock,
) -> None:
    """Let each scrape read the figures where they are."""

    def levels() -> list[LevelView]:
        return [picture.level for picture in switchboard.pictures(clock.now()) if picture.level]

    def differs(level: LevelView) -> float:
        return float(level.state.policy_sha256 != switchboard.policy.sha256)

    def feed_age_s() -> float:
        age_s = reader.last_record_age_s()
        return -1.0 if age_s is None else age_s

    metrics.watch(WEBHOOK_ATTEMPTS, lambda: {(key,): float(n) for key, n in courier.attempts.items()})
    metrics.watch(WEBHOOKS_FAILING, lambda: float(subscriptions.failing))
    metrics.watch(LEADS, lambda: float(lease.held))
    metrics.watch(LEVEL_RANK, lambda: {(level.scope,): float(level.level) for level in levels()})
    metrics.watch(STALE_SCOPES, lambda: float(sum(level.stale for level in levels())))
    metrics.watch(HOLDS, lambda: float(sum(len(p.own_holds) for p in switchboard.pictures(clock.now()))))
    metrics.watch(CAUGHT_UP, lambda: float(switchboard.caught_up))
    metrics.watch(FEED_AGE, feed_age_s)
    metrics.watch(STREAMS, lambda: float(hub.clients))
    metrics.watch(STREAMS_DROPPED, lambda: float(hub.dropped))
    metrics.watch(POLICY_DIFFERS, lambda: {(level.scope,): differs(level) for level in levels()})
    metrics.watch(RATE_LIMITED, lambda: float(gate.refused))
    metrics.watch(HOLD_CHANGES, lambda: {(action,): float(count) for action, count in desk.done.items()})
