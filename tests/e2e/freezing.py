"""PostgreSQL frozen under traffic: what callers, the engine and the server see, each by its own list."""

from __future__ import annotations

import asyncio
import random
import time
import uuid

import asyncpg
import httpx
from aiokafka import AIOKafkaConsumer

from resilience_contracts import BreakerState, HealthObserved, LevelState, Topic, decode
from tests.e2e.shop import LOCATION, Shop, until
from tests.e2e.story import (
    CONTROL,
    DEPENDENCY,
    NO_ANSWER,
    Called,
    Connections,
    Heard,
    Story,
    breaker_reported,
    probe_reported,
)
from tests.fixtures.stack import RunningStack

SKUS = tuple(f"FREEZE-{number:02}" for number in range(20))
MIX = {"availability": 4, "stock": 3, "reserve": 3, "receive": 1, CONTROL: 3}
GIVEN_UP_S = 10.0
SAMPLE_S = 0.05
BACK_S = 60.0
SUCCESS = 2
WELL_S = 1.5
COUNT = """
    SELECT count(*) FILTER (WHERE application_name LIKE 'inventory-api%'), count(*),
           (SELECT sum(sessions) FROM pg_stat_database)::bigint
    FROM pg_stat_activity WHERE backend_type = 'client backend'
"""


def seed(shop: Shop) -> None:
    """Create what the callers ask for, and read all of it once, so that there is a last known value."""
    shop.seed()
    for sku in SKUS:
        shop.post("/v1/skus", {"sku": sku, "name": sku})
        stocked = shop.post(
            "/v1/adjustments",
            {"sku": sku, "location": LOCATION, "delta": 100_000, "reason": "RECEIPT"},
            key=f"freeze-{sku}",
        )
        assert stocked.is_success, stocked.text
    assert shop.inventory.post("/v1/availability:batch", json={"skus": list(SKUS)}).is_success


async def freeze(stack: RunningStack, *, calls_per_s: float, frozen_s: float) -> Story:
    """Freeze PostgreSQL for so long under an open stream of calls; return when all is back."""
    story = Story()
    async with asyncio.TaskGroup() as group:
        beside = [
            group.create_task(_listen(stack.bootstrap, story)),
            group.create_task(_count_connections(stack.env["DATABASE_URL"], story)),
            group.create_task(_call(stack.url("inventory-api"), calls_per_s, story)),
        ]
        await asyncio.to_thread(until, "all well", lambda: _is_well(story) or None, BACK_S)
        await asyncio.to_thread(_await_a_probe, story)
        story.frozen_s = time.monotonic()
        await asyncio.to_thread(stack.pause, DEPENDENCY)
        await asyncio.sleep(frozen_s)
        story.thawed_s = time.monotonic()
        await asyncio.to_thread(stack.restore, DEPENDENCY)
        await asyncio.to_thread(until, "all well again", lambda: _is_well(story) or None, BACK_S)
        story.back_s = time.monotonic()
        for task in beside:
            task.cancel()
    return story


def _is_well(story: Story) -> bool:
    """Say whether level, breaker and every call of late are as they should be."""
    since_s = time.monotonic() - WELL_S
    if since_s < max(story.began_s, story.thawed_s) or not story.connections:
        return False
    level = story.last(lambda event: isinstance(event, LevelState))
    report = story.last(breaker_reported)
    return (
        isinstance(level, LevelState)
        and level.rank == 0
        and isinstance(report, HealthObserved)
        and report.breaker is not None
        and report.breaker.state is BreakerState.CLOSED
        and all(call.status // 100 == SUCCESS for call in story.calls if call.due_s >= since_s)
    )


def _await_a_probe(story: Story) -> None:
    """Choose the moment that gives the breaker least: the next probe is one interval away and no more."""

    def probes() -> int:
        return sum(probe_reported(heard.event) for heard in story.heard)

    seen = probes()
    until("a probe", lambda: probes() > seen or None)


async def _listen(bootstrap: str, story: Story) -> None:
    consumer = AIOKafkaConsumer(
        str(Topic.HEALTH), str(Topic.LEVELS), bootstrap_servers=bootstrap, auto_offset_reset="latest"
    )
    await consumer.start()
    try:
        async for record in consumer:
            event = decode(record.value, record.headers).event
            assert isinstance(event, HealthObserved | LevelState)
            story.heard.append(Heard(time.monotonic(), record.offset, event))
    finally:
        await consumer.stop()


async def _count_connections(url: str, story: Story) -> None:
    """Look by a connection of its own, which the freeze stops too: nothing can be counted on a frozen server."""
    connection = await asyncpg.connect(url)
    try:
        while True:
            row = await connection.fetchrow(COUNT)
            assert row is not None
            story.connections.append(Connections(time.monotonic(), row[0], row[1], row[2]))
            await asyncio.sleep(SAMPLE_S)
    finally:
        connection.terminate()


async def _call(url: str, calls_per_s: float, story: Story) -> None:
    """Call at an even pace, whether or not earlier calls were answered."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=200)
    rng = random.Random(1)
    async with (
        httpx.AsyncClient(base_url=url, timeout=GIVEN_UP_S, limits=limits) as client,
        asyncio.TaskGroup() as group,
    ):
        due_s = time.monotonic()
        while True:
            due_s += 1 / calls_per_s
            await asyncio.sleep(due_s - time.monotonic())
            (kind,) = rng.choices(list(MIX), list(MIX.values()))
            group.create_task(_once(client, kind, rng.choice(SKUS), due_s, story))


async def _once(client: httpx.AsyncClient, kind: str, sku: str, due_s: float, story: Story) -> None:
    try:
        status = (await client.send(_request(client, kind, sku))).status_code
    except httpx.TransportError:
        status = NO_ANSWER
    story.calls.append(Called(kind, due_s, time.monotonic() - due_s, status))


def _request(client: httpx.AsyncClient, kind: str, sku: str) -> httpx.Request:
    key = {"Idempotency-Key": uuid.uuid4().hex}
    if kind == CONTROL:
        return client.build_request("GET", "/health/live")
    if kind == "availability":
        return client.build_request("POST", "/v1/availability:batch", json={"skus": [sku]})
    if kind == "stock":
        return client.build_request("GET", f"/v1/stock/{sku}")
    if kind == "reserve":
        lines = [{"sku": sku, "location": LOCATION, "quantity": 1}]
        held = {"owner_ref": uuid.uuid4().hex, "lines": lines}
        return client.build_request("POST", "/v1/reservations", json=held, headers=key)
    received = {"sku": sku, "location": LOCATION, "delta": 1, "reason": "RECEIPT"}
    return client.build_request("POST", "/v1/adjustments", json=received, headers=key)
