"""kill -9 of API, applier, PostgreSQL and Kafka while clients sell and receive: nothing is lost, nothing doubled.

The clients' own lists decide: what was answered 201 or 202 must be in the stock once, whatever died in between. An
answer that did not come is asked for again with the same key until it comes.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from time import monotonic

import asyncpg

from tests.bench.inventory_replicas import Api, Shop, running_shop
from tests.inventory_api.auditor import violations

ROUNDS = 200
CLIENTS = 4
SKUS = 5
SETTLE_S = 180
TARGETS = ("inventory-api", "replica-2", "postgresql", "kafka")
RATE = {"RATE_LIMIT_PER_S": "100000", "DATABASE_QUEUE_S": "30"}
"""No quota, and patience enough for a machine that is shared."""


@dataclass
class Notes:
    """What the clients know: by SKU what must be on hand, and the operations they were given."""

    expected: dict[str, int]
    operations: list[str] = field(default_factory=list)
    direct: int = 0
    retries: int = 0


@dataclass(frozen=True)
class Result:
    """What became of a run: `lost` and `doubled` in units of stock."""

    rounds: int
    direct: int
    queued: int
    retries: int
    lost: int
    doubled: int
    unapplied: int
    violations: dict[str, int]
    took_s: float

    @property
    def right(self) -> bool:
        """Whether nothing is lost, doubled, left over or contradictory."""
        return not (self.lost or self.doubled or self.unapplied or self.violations)


async def kills(
    shop: Shop, targets: list[str], down_s: tuple[float, float], rng: Random, pace_s: float = 0.01
) -> Result:
    """Run clients while each target is killed in turn and brought back; then let everything settle and count.

    Args:
        shop: what is killed and called.
        targets: what to kill, in this order.
        down_s: least and most seconds that a target stays down.
        rng: draws the times.
        pace_s: what a client waits between two writes.
    """
    began_s = monotonic()
    api = Api(shop.urls, timeout_s=5)
    skus = [f"SKU-{uuid.uuid4().hex[:12]}" for _ in range(SKUS)]
    notes, done = Notes(dict.fromkeys(skus, 0)), asyncio.Event()
    try:
        await _open(api, skus)
        clients = [asyncio.create_task(_sell(api, notes, done, Random(n), pace_s)) for n in range(CLIENTS)]
        for target in targets:
            await asyncio.sleep(rng.uniform(0.1, 0.6))
            await asyncio.to_thread(shop.kill, target)
            await asyncio.sleep(rng.uniform(*down_s))
            await asyncio.to_thread(shop.restore, target)
        done.set()
        await asyncio.gather(*clients)
        unapplied = await _unapplied(api, notes.operations)
    finally:
        await api.close()
    on_hand = await _on_hand(shop.database_url, skus)
    differences = [on_hand[sku] - notes.expected[sku] for sku in skus]
    return Result(
        rounds=len(targets),
        direct=notes.direct,
        queued=len(set(notes.operations)),
        retries=notes.retries,
        lost=-sum(min(0, each) for each in differences),
        doubled=sum(max(0, each) for each in differences),
        unapplied=unapplied,
        violations=await violations(shop.database_url),
        took_s=monotonic() - began_s,
    )


async def _open(api: Api, skus: list[str]) -> None:
    await _until(api, "/locations", {"code": "shop", "name": "Shop"}, {201, 409})
    for sku in skus:
        await _until(api, "/skus", {"sku": sku, "name": "Thing"}, {201})


async def _until(api: Api, path: str, body: object, statuses: set[int]) -> None:
    while True:
        answer = await api.post(path, body)
        if answer is not None and answer.status_code in statuses:
            return
        await asyncio.sleep(0.1)


async def _sell(api: Api, notes: Notes, done: asyncio.Event, rng: Random, pace_s: float) -> None:
    while not done.is_set():
        sku, delta = rng.choice(list(notes.expected)), rng.randint(1, 9)
        body = {"sku": sku, "location": "shop", "delta": delta, "reason": "RECEIPT"}
        key = uuid.uuid4().hex
        while True:
            answer = await api.post("/adjustments", body, key)
            if answer is not None and answer.status_code in {201, 202}:
                break
            if answer is not None and answer.status_code < 500 and answer.status_code != 409:
                raise AssertionError(answer.text)
            notes.retries += 1
            await asyncio.sleep(rng.uniform(0.02, 0.2))
        notes.expected[sku] += delta
        if answer.status_code == 202:
            notes.operations.append(answer.json()["id"])
        else:
            notes.direct += 1
        await asyncio.sleep(pace_s)


async def _unapplied(api: Api, operations: list[str]) -> int:
    waiting, end_s = set(operations), monotonic() + SETTLE_S
    while waiting and monotonic() < end_s:
        for operation in list(waiting):
            answer = await api.get(f"/operations/{operation}")
            if answer is not None and answer.is_success and answer.json()["status"] != "accepted":
                waiting.discard(operation)
        await asyncio.sleep(0.2)
    return len(waiting)


async def _on_hand(url: str, skus: list[str]) -> dict[str, int]:
    connection = await asyncpg.connect(url, timeout=10)
    try:
        rows = await connection.fetch(
            """
            SELECT s.sku, COALESCE(sum(l.on_hand), 0)::bigint AS on_hand
            FROM skus s LEFT JOIN stock_levels l ON l.sku_id = s.id WHERE s.sku = ANY($1) GROUP BY s.sku
            """,
            skus,
        )
    finally:
        await connection.close()
    return {row["sku"]: row["on_hand"] for row in rows}


def main() -> int:
    """Kill 200 times, or as often as the environment's KILLS says; answer 0 when nothing is lost or doubled."""
    rounds = int(os.environ.get("KILLS", ROUNDS))
    rng = Random(6)
    targets = [rng.choice(TARGETS) for _ in range(rounds)]
    with tempfile.TemporaryDirectory() as logs, running_shop(Path(logs), 2, **RATE) as shop:
        result = asyncio.run(kills(shop, targets, (0.0, 1.5), rng))
    print(json.dumps(result.__dict__, indent=1), file=sys.stdout)
    return 0 if result.right else 1
