"""Every metric of the engine, as data."""

from __future__ import annotations

from resilience_runtime.metrics import Kind, Metric

EVENTS = Metric(
    "degradation_engine_events_total",
    Kind.COUNTER,
    "Health events by what became of them: taken, or dead-lettered by stage",
    ("result",),
)
REFUSED = Metric(
    "degradation_engine_refused_events_total",
    Kind.COUNTER,
    "Health events that break a rule of the engine, by rule",
    ("reason",),
)
EVALUATION = Metric(
    "degradation_engine_evaluation_seconds",
    Kind.HISTOGRAM,
    "Time to judge a health event, without publishing; of a backlog, one in fifty is timed",
    buckets=(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05),
)
CHANGES = Metric(
    "degradation_engine_level_changes_total",
    Kind.COUNTER,
    "Published changes of level, by new level",
    ("level",),
)
STATE_BYTES = Metric(
    "degradation_engine_state_bytes_total", Kind.COUNTER, "Bytes of engine state stored in Kafka"
)
PUBLISH_FAILURES = Metric(
    "degradation_engine_publish_failures_total",
    Kind.COUNTER,
    "Records not confirmed in time; they are sent again",
)
LOST_STATES = Metric(
    "degradation_engine_lost_states_total",
    Kind.COUNTER,
    "Scopes taken over without a readable state, each in a new epoch",
)
LEVEL = Metric("degradation_engine_level", Kind.GAUGE, "Rank of the effective level, 0 to 4", ("scope",))
PARTITIONS = Metric("degradation_engine_partitions", Kind.GAUGE, "Partitions that this worker owns")
LAG = Metric("degradation_engine_lag_events", Kind.GAUGE, "Health events stored and not yet taken")

TABLE = (
    EVENTS,
    REFUSED,
    EVALUATION,
    CHANGES,
    STATE_BYTES,
    PUBLISH_FAILURES,
    LOST_STATES,
    LEVEL,
    PARTITIONS,
    LAG,
)
