"""A day at the console: what the engine, the monitors and inventory-api would have said; for tests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from resilience_contracts import (
    AutomaticFeature,
    BreakerReport,
    BreakerState,
    DependencyState,
    FeatureState,
    Health,
    HealthObserved,
    Level,
    LevelChanged,
    LevelState,
    Observation,
    Outcome,
    Pending,
    ProbeReport,
    Recovery,
    VersionPart,
    resolve,
)
from resilience_runtime import MemoryBus
from tests.contracts.states import POLICY, level_state
from tests.flag_service.running import tell

LATENCY_MS = {"openai": 412.0, "postgresql": 3.1, "redis": 0.6, "s3": 18.0}
OUT = "postgresql"


def state(level: Level, counter: int, down: frozenset[str] = frozenset()) -> LevelState:
    """Return a whole state, each feature as the policy says."""
    now = datetime.now(UTC)
    since = now - timedelta(minutes=4)
    dependencies = {
        name: DependencyState(
            health=Health.DOWN if name in down else Health.UP,
            score=0 if name in down else 100,
            since=since,
            observed_at=now,
            breakers={"inventory-api-1": BreakerState.OPEN if name in down else BreakerState.CLOSED},
        )
        for name in LATENCY_MS
    }
    features = {}
    for key, rule in POLICY.features.items():
        ruled = resolve(rule, level, down)
        features[key] = AutomaticFeature(
            state=ruled.state, because=ruled.because, detail=ruled.detail, since=since
        )
    cause = f"{' and '.join(sorted(down))} DOWN: connection refused" if down else "every dependency is UP"
    return level_state(level, (1, counter), at=now).model_copy(
        update={
            "cause": cause,
            "score": 70.0 if down else 100.0,
            "dependencies": dependencies,
            "features": features,
            "since": since,
            "recovery": Recovery(q10_s=45, q50_s=260, q90_s=1500, method="posterior", samples=12)
            if down
            else None,
            "pending": Pending(
                level="LIMITED", earliest_at=now + timedelta(seconds=95), rule="better for 120 s"
            )
            if down
            else None,
        }
    )


def change(start: Level, to: Level, counter: int, ago: timedelta, cause: str) -> LevelChanged:
    """Return a change of the level."""
    return LevelChanged(
        scope="default",
        version=VersionPart(epoch=1, counter=counter),
        from_level=start.name,
        from_rank=start,
        to_level=to.name,
        to_rank=to,
        decided_by="score",
        cause=cause,
        score=70.0,
        dependencies={},
        features={"inventory.reservations": FeatureState.DISABLED},
        changed_at=datetime.now(UTC) - ago,
    )


def probes(dependency: str, newest: datetime, *, missed: int = 0) -> list[HealthObserved]:
    """Return five reports of twelve probes each, the last `missed` of which failed."""
    base = LATENCY_MS[dependency]
    seen = []
    for index in range(60):
        wave = 1 + 0.5 * ((index * 7919) % 13) / 13 + (2 if index == 31 else 0)
        outcome = Outcome.REFUSED if index >= 60 - missed else Outcome.OK
        at = newest - timedelta(seconds=10 * (59 - index))
        seen.append(Observation(outcome=outcome, latency_ms=base * wave, at=at))
    return [
        HealthObserved(
            scope="default",
            dependency=dependency,
            observer="health-monitor-1",
            boot="b1",
            sequence=part,
            observed_at=newest,
            probe=ProbeReport(recent=tuple(seen[part * 12 : part * 12 + 12]), interval_s=10),
        )
        for part in range(5)
    ]


def breaker(dependency: str, state: BreakerState) -> HealthObserved:
    """Return a replica's report of its breaker."""
    return HealthObserved(
        scope="default",
        dependency=dependency,
        observer="inventory-api-1",
        boot="b1",
        sequence=1,
        observed_at=datetime.now(UTC),
        breaker=BreakerReport(state=state, interval_s=10),
    )


async def tell_day(bus: MemoryBus, level: Level, down: frozenset[str] = frozenset()) -> None:
    """Publish a day that ends at a level."""
    hours, minutes = timedelta(hours=1), timedelta(minutes=1)
    story = [
        change(Level.OPTIMAL, Level.DEGRADED, 2, 19 * hours, "redis DOWN: timeout after 500 ms"),
        change(Level.DEGRADED, Level.OPTIMAL, 3, 18 * hours, "redis UP again for 120 s"),
        change(Level.OPTIMAL, Level.LIMITED, 4, 7 * hours, "openai DOWN: 3 probes in a row timed out"),
        change(Level.LIMITED, Level.DEGRADED, 5, 5 * hours, "openai UP again for 120 s"),
        change(Level.DEGRADED, Level.OPTIMAL, 6, 5 * hours - 2 * minutes, "better for 120 s"),
    ]
    if level:
        cause = f"{' and '.join(sorted(down))} DOWN: connection refused"
        story.append(change(Level.OPTIMAL, level, 7, 4 * minutes, cause))
    now = datetime.now(UTC)
    for event in story:
        await tell(bus, event)
    for name in LATENCY_MS:
        for report in probes(name, now, missed=9 if name in down else 0):
            await tell(bus, report)
        await tell(bus, breaker(name, BreakerState.OPEN if name in down else BreakerState.CLOSED))
    await tell(bus, state(level, 7, down))


@asynccontextmanager
async def inventory_stand_in(waiting: int) -> AsyncIterator[str]:
    """Answer as inventory-api does; yields its address."""
    dashboard = {
        "skus": 1280, "levels": 3800, "on_hand": 41230, "reserved": 312, "low": 17, "out": 3, "value": "1.0",
        "sold_7_days": 900, "active_reservations": 40, "as_of": datetime.now(UTC).isoformat(), "stale": waiting > 0,
    }  # fmt: skip
    system = {"commands": {"waiting": waiting, "oldest_age_s": 42.0 if waiting else 0.0}}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            body = json.dumps(dashboard if b"dashboard" in head.split()[1] else system).encode()
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))

    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(guarded, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
