"""The points of the go-live and the deployment checklist, in order; docs/runbooks has them in the same words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from resilience_contracts import Level

from .golive import Checklist, NotSoError, Point, System
from .rollout_gate import COUNTED_FOR_EVER

COPIES = 3
REPLICAS = 2
SHOWN = 3


def _none(found: Iterable[str], fine: str) -> str:
    wrong = list(found)
    if wrong:
        more = f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        raise NotSoError("; ".join(wrong[:SHOWN]) + more)
    return fine


def _encrypted(system: System) -> str:
    if not system.encrypted():
        raise NotSoError("Kafka is reached without TLS, or lets in whoever comes")
    return "TLS, and a principal for each client"


def _copies(system: System) -> str:
    few = [f"{topic} has {number}" for topic, number in system.copies().items() if number < COPIES]
    return _none(few, f"each has {COPIES} at least")


def _replicas(system: System) -> str:
    found = system.replicas()
    few = [f"{name}: {number}" for name, number in found.items() if number < REPLICAS]
    return _none(few, ", ".join(f"{name}: {number}" for name, number in found.items()))


def _level(system: System) -> str:
    level, stale = system.level()
    if level is not Level.OPTIMAL or stale:
        raise NotSoError(
            "no level is known" if level is None else f"{level.name}{', stale' if stale else ''}"
        )
    return level.name


def _contradictions(system: System) -> str:
    found = system.contradictions()
    bad = [
        f"{audit}: {number:.0f}" for audit, number in found.items() if number and audit != COUNTED_FOR_EVER
    ]
    return _none(bad, f"{len(found)} audits, nothing found")


def _policy(system: System) -> str:
    if system.policy_differs():
        raise NotSoError("flag-service and the engine decide by different policies")
    return "checked, and the same everywhere"


def _alertmanager(system: System) -> str:
    found = system.alertmanagers()
    if not found:
        raise NotSoError("Prometheus sends alerts nowhere")
    return ", ".join(found)


TOPICS = Point(
    "topics",
    "Kafka's topics are as declared.",
    "resilience topics check; infra/kafka/topics.yaml",
    "resilience topics apply",
    lambda system: _none(system.topics_that_differ(), "every topic is as declared"),
)
READY = Point(
    "ready",
    "Each of the four services is ready.",
    "{inventory}/health/ready, {flags}/health/ready, {monitor}/health/ready, {engine}/health/ready",
    "follow docs/runbooks/ServiceDown.md",
    lambda system: _none(system.not_ready(), "all four are"),
)
LEVEL = Point(
    "level",
    "The level is OPTIMAL, and not stale.",
    "resilience.levels.v1; resilience status",
    "mend what is down first: resilience status names it",
    _level,
)
CONTRADICTIONS = Point(
    "contradictions",
    "No audit of stock finds a contradiction.",
    "inventory_audit_violations of {inventory_metrics}",
    "follow docs/runbooks/StockContradictsItself.md",
    _contradictions,
)
DEAD_LETTERS = Point(
    "dead-letters",
    "No dead letter of the last day waits.",
    "resilience dlq list --since 1d",
    "mend the cause, then resilience dlq replay --since 1d; who understands one and leaves it waits a day",
    lambda system: _none(system.dead_letters(), "none waits"),
)
SMOKE = Point(
    "smoke",
    "What a shop does works: stock is received, read, reserved and released.",
    "resilience smoke; {inventory}/docs",
    "run resilience smoke; RESILIENCE_API_KEY is a key with the scopes read, reserve and write",
    lambda system: _none(system.smoke_failures(), "every check passed"),
)

GO_LIVE = (
    Point(
        "kafka-copies",
        "Every topic is on three brokers.",
        "resilience topics apply --replication 3; kafka-topics.sh --describe",
        "three brokers, then resilience topics apply --replication 3; topics that exist need kafka-reassign-partitions.sh",
        _copies,
    ),
    Point(
        "kafka-access",
        "Kafka speaks TLS and asks who comes.",
        "docs/security.md#turn-it-on; KAFKA_SECURITY_PROTOCOL",
        "turn it on by docs/security.md, and set the KAFKA_ variables",
        _encrypted,
    ),
    Point(
        "kafka-rights",
        "Nobody but the services may write to the topics.",
        "resilience acls check; infra/kafka/acls.yaml",
        "resilience acls apply; take what is foreign by hand",
        lambda system: _none(system.rights_that_differ(), "every permission is as declared"),
    ),
    TOPICS,
    Point(
        "policy",
        "The policy is sound, and flag-service and the engine decide by the same.",
        "resilience policy check {policy}; flag_policy_differs of {flags_metrics}",
        "give every service the same RESILIENCE_POLICY_FILE, see docs/runbooks/PolicyDiffers.md",
        _policy,
    ),
    Point(
        "keys",
        "Nobody without a key reads stock, writes stock or sets a hold: ANONYMOUS_SCOPES is empty.",
        "{inventory}/v1/skus, {inventory}/v1/adjustments, {flags}/v1/holds/default/level, without a key: 401",
        "unset ANONYMOUS_SCOPES, set API_KEYS_FILE, and make keys by resilience keys create",
        lambda system: _none(system.open_doors(), "each asks for a key"),
    ),
    Point(
        "replicas",
        "There are two replicas of flag-service, of inventory-api and of the engine.",
        "members of the groups of infra/kafka/acls.yaml: kafka-consumer-groups.sh --describe --members",
        "run another replica of each that is named",
        _replicas,
    ),
    READY,
    LEVEL,
    CONTRADICTIONS,
    DEAD_LETTERS,
    Point(
        "audit-log",
        "Nobody changed the audit log.",
        "resilience audit verify; resilience.audit.v1",
        "see docs/security.md: find out who could write resilience.audit.v1",
        lambda system: _none(system.audit_faults(), "no fault"),
    ),
    Point(
        "alerts",
        "Prometheus evaluates every alert.",
        "{prometheus}/rules; infra/prometheus/alerts.yml",
        "load infra/prometheus/alerts.yml, or name another Prometheus with --prometheus",
        lambda system: _none(system.missing_alerts(), "every alert is evaluated"),
    ),
    Point(
        "alertmanager",
        "Prometheus sends alerts to Alertmanager.",
        "{prometheus}/status; infra/prometheus/compose.yml",
        "name Alertmanager under `alerting` of Prometheus' configuration",
        _alertmanager,
    ),
    Point(
        "metrics",
        "Prometheus gets the metrics of all four services.",
        "{prometheus}/targets",
        "name each service under `scrape_configs` of Prometheus' configuration, and let it through the network",
        lambda system: _none(system.not_scraped(), "all four are up"),
    ),
    SMOKE,
    Point(
        "night-page",
        "Alertmanager's receivers reach a person: a test page was answered at night.",
        "infra/alertmanager/alertmanager.yml",
        "give each receiver a destination, send a test page at night, attest with the answered page",
    ),
    Point(
        "dashboards",
        'Each dashboard shows figures, not "no data".',
        "infra/grafana/dashboards",
        "open each in Grafana, attest with a picture",
    ),
    Point(
        "restore",
        "A backup was restored in front of witnesses, and one is taken hourly, on another disk.",
        "resilience backup, resilience restore",
        "restore one, attest with the record of it",
    ),
    Point(
        "callers",
        "Each caller has a key of its own with the scopes it needs; the operator's is in nobody's shell history.",
        "api-keys.json; resilience keys create",
        "give each caller its own, attest with the list of callers",
    ),
    Point(
        "weights",
        "The policy was replayed on recorded events, and its weights are agreed with the shops.",
        "resilience policy replay",
        "replay it, attest with what the shops agreed to",
    ),
    Point(
        "machines",
        "The replicas of a service are on different machines.",
        "topologySpreadConstraints of infra/kubernetes/base; kubectl get pods --output wide",
        "spread them, attest with that list",
    ),
    Point(
        "outages",
        "Each dependency was really stopped once: the level followed, shops saw what the policy promises, all came back.",
        "resilience chaos run; resilience.level-changes.v1",
        "stop each once, attest with the report",
    ),
    Point(
        "roles",
        "The roles of incident response have names for the first two weeks.",
        "docs/runbooks/incident-response.md",
        "name them, attest with the rota",
    ),
)
DEPLOYMENT = (
    READY,
    LEVEL,
    Point(
        "holds",
        "Nothing is held.",
        "resilience hold list; {flags}/v1/holds",
        "end what is held with resilience hold end, or wait until it expires",
        lambda system: _none(system.holds(), "automation decides"),
    ),
    CONTRADICTIONS,
    DEAD_LETTERS,
    TOPICS,
    SMOKE,
    Point(
        "tests",
        "`make check`, `make test` and `make test-e2e` passed on the very commit.",
        ".ci/run",
        "run them, attest with the pipeline's run",
    ),
    Point(
        "changes",
        "CHANGELOG.md was read for what users must know.",
        "CHANGELOG.md",
        "read it, attest with what was told to users",
    ),
    Point(
        "backup",
        "A backup of today is there.",
        "resilience backup",
        "take one, attest with its file or place",
    ),
    Point(
        "way-back",
        "The version that runs now is at hand, to go back to.",
        "the registry of images; services/*/Dockerfile",
        "keep it, attest with its address",
    ),
)

POINTS: Mapping[Checklist, tuple[Point, ...]] = MappingProxyType(
    {Checklist.GO_LIVE: GO_LIVE, Checklist.DEPLOYMENT: DEPLOYMENT}
)
