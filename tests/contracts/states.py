"""Example events for the tests of the vocabulary."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from resilience_contracts import (
    AdjustmentCommand,
    AuditRecorded,
    AutomaticFeature,
    BackInStock,
    Because,
    BreakerReport,
    BreakerState,
    CountCommand,
    DecidedBy,
    DependencyState,
    Event,
    FeatureState,
    Health,
    HealthObserved,
    HoldSet,
    LedgerRecorded,
    Level,
    LevelChanged,
    LevelState,
    LowStock,
    Observation,
    Outcome,
    PlaceStock,
    ProbeReport,
    Recovery,
    RowsWritten,
    RowWrite,
    StockState,
    VersionPart,
    default_policy,
)

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
POLICY = default_policy()


def health_observed() -> HealthObserved:
    seen = Observation(outcome=Outcome.OK, latency_ms=3.5, at=NOW)
    return HealthObserved(
        scope="eu-west.store-042",
        dependency="redis",
        observer="monitor-1",
        boot="b7",
        sequence=9,
        observed_at=NOW,
        probe=ProbeReport(recent=(seen,), interval_s=5),
    )


def breaker_observed() -> HealthObserved:
    return health_observed().model_copy(
        update={
            "probe": None,
            "breaker": BreakerReport(state=BreakerState.OPEN, failure_rate=0.8, interval_s=5),
        }
    )


def level_state(
    level: Level = Level.OPTIMAL,
    version: tuple[int, int] = (1, 1),
    at: datetime = NOW,
    features: dict[str, FeatureState] | None = None,
    scope: str = "default",
) -> LevelState:
    states = {key: (features or {}).get(key, rule.at(level)) for key, rule in POLICY.features.items()}
    return LevelState(
        scope=scope,
        version=VersionPart(epoch=version[0], counter=version[1]),
        level=level.name,
        rank=level,
        automatic_level=level.name,
        score=70.0,
        decided_by=DecidedBy.SCORE,
        cause="an example",
        dependencies={"redis": DependencyState(health=Health.UP, score=100, since=NOW)},
        features={
            key: AutomaticFeature(state=state, because=Because.LEVEL, detail="an example", since=NOW)
            for key, state in states.items()
        },
        recovery=Recovery(q10_s=10, q50_s=60, q90_s=600, method="prior", samples=0),
        policy_sha256=POLICY.sha256,
        since=NOW,
        observed_at=at,
        next_heartbeat_by=at + timedelta(seconds=90),
    )


def level_changed() -> LevelChanged:
    return LevelChanged(
        scope="default",
        version=VersionPart(epoch=1, counter=2),
        from_level="OPTIMAL",
        from_rank=0,
        to_level="MINIMAL",
        to_rank=3,
        decided_by=DecidedBy.FLOOR,
        cause="postgresql DOWN since 12:00:00",
        score=70.0,
        dependencies={"postgresql": Health.DOWN},
        features={"inventory.reservations": FeatureState.DISABLED},
        changed_at=NOW,
    )


def hold_set(
    state: FeatureState = FeatureState.DISABLED,
    *,
    allow_better: bool = False,
    version: int = 1,
    set_at: datetime = NOW,
    minutes: float = 60,
    target: str = "integrations.ai_assistant",
) -> HoldSet:
    return HoldSet(
        scope="default",
        target=target,
        hold_id="h1",
        version=version,
        state=state,
        reason="the assistant invents prices",
        actor="ops",
        set_at=set_at,
        expires_at=set_at + timedelta(minutes=minutes),
        allow_better=allow_better,
    )


def audit_recorded() -> AuditRecorded:
    return AuditRecorded(
        scope="default",
        writer="flag-service-1",
        sequence=0,
        action="hold.set",
        target="integrations.ai_assistant",
        after={"state": "DISABLED"},
        actor="ops",
        reason="the assistant invents prices",
        correlation_id="c1",
        recorded_at=NOW,
        previous_hash="0" * 64,
        hash="a" * 64,
    )


def adjustment_command() -> AdjustmentCommand:
    return AdjustmentCommand(
        command_id="c1",
        idempotency_key="k1",
        request_sha256="b" * 64,
        sku="0017",
        location="berlin",
        delta=-3,
        reason="SALE",
        actor="till-4",
        occurred_at=NOW,
        accepted_at=NOW,
    )


def count_command() -> CountCommand:
    return CountCommand(
        command_id="c2",
        idempotency_key="k2",
        request_sha256="c" * 64,
        sku="0017",
        location="berlin",
        counted=12,
        actor="till-4",
        occurred_at=NOW,
        accepted_at=NOW,
    )


def stock_state() -> StockState:
    berlin = PlaceStock(
        location="berlin",
        on_hand=7,
        reserved=2,
        incoming=0,
        safety_stock=1,
        reorder_point=5,
        available=4,
        version=9,
    )
    return StockState(sku="0017", sequence=9, available=4, locations=(berlin,), as_of=NOW)


def ledger_recorded() -> LedgerRecorded:
    return LedgerRecorded(
        entry_id=41,
        sku="0017",
        location="berlin",
        sequence=3,
        delta=-3,
        before=10,
        after=7,
        reason="SALE",
        reference="cart-7",
        actor="till-4",
        occurred_at=NOW,
        recorded_at=NOW,
    )


def low_stock() -> LowStock:
    return LowStock(sku="0017", location="berlin", available=4, reorder_point=5, version=9, crossed_at=NOW)


def back_in_stock() -> BackInStock:
    return BackInStock(
        sku="0017", location="berlin", available=8, reorder_point=5, version=12, crossed_at=NOW
    )


def rows_written() -> RowsWritten:
    row = '[{"id":1,"code":"berlin","code_fold":"berlin","name":"Berlin","kind":"store"}]'
    return RowsWritten(
        lineage="7d1b1a52-5a2f-4d0e-9a1a-0d6a3b1f2c11",
        begins=True,
        ends=True,
        writes=(RowWrite(id=41, table="locations", rows_json=row),),
        read_at=NOW,
    )


EXAMPLES: dict[str, Event] = {
    "health-probe": health_observed(),
    "health-breaker": breaker_observed(),
    "level-state": level_state(),
    "level-changed": level_changed(),
    "hold-set": hold_set(),
    "audit-recorded": audit_recorded(),
    "adjustment-command": adjustment_command(),
    "count-command": count_command(),
    "stock-state": stock_state(),
    "ledger-recorded": ledger_recorded(),
    "low-stock": low_stock(),
    "back-in-stock": back_in_stock(),
    "rows-written": rows_written(),
}
