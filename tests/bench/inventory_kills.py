"""kill -9 of API, applier, PostgreSQL and Kafka while clients sell and receive: nothing is lost, nothing doubled.

The clients' own lists decide: what was answered 201 or 202 must be in the stock once, whatever died in between. An
answer that did not come is asked for again with the same key until it comes. One kill in three falls while another
target is down: an applier dies with commands waiting, Kafka with PostgreSQL away.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import compress
from pathlib import Path
from random import Random
from time import monotonic

import asyncpg

from resilience_cli.errors import StackError
from tests.bench.inventory_replicas import Api, Shop, running_shop
from tests.inventory_api.auditor import violations

ROUNDS = 200
MOST_S = 3_000.0
CLIENTS = 4
SKUS = 5
SETTLE_S = 180
ASKED_AT_ONCE = 16
RESTORES = 4
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

    kills: int
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
    shop: Shop,
    targets: Sequence[Sequence[str]],
    down_s: tuple[float, float],
    rng: Random,
    *,
    pace_s: float = 0.01,
    most_s: float = MOST_S,
) -> Result:
    """Run clients while targets are killed and brought back; then let everything settle and count.

    Args:
        shop: what is killed and called.
        targets: what to kill, in this order; those of one entry are down together and come back in its order.
        down_s: least and most seconds that pass before the next kill of an entry, and before the return.
        rng: draws the times.
        pace_s: what a client waits between two writes.
        most_s: no kill is begun later than this.
    """
    began_s = monotonic()
    api = Api(shop.urls, timeout_s=5)
    skus = [f"SKU-{uuid.uuid4().hex[:12]}" for _ in range(SKUS)]
    notes, done = Notes(dict.fromkeys(skus, 0)), asyncio.Event()
    killed = 0
    try:
        await _open(api, skus)
        clients = [asyncio.create_task(_sell(api, notes, done, Random(n), pace_s)) for n in range(CLIENTS)]
        for together in targets:
            if monotonic() - began_s > most_s:
                break
            await asyncio.sleep(rng.uniform(0.1, 0.6))
            for target in together:
                await asyncio.to_thread(shop.kill, target)
                await asyncio.sleep(rng.uniform(*down_s))
            for target in together:
                await asyncio.to_thread(_restore, shop, target)
            killed += len(together)
            print(f"{killed} kills in {monotonic() - began_s:.0f} s: {' and '.join(together)}", flush=True)
        done.set()
        await asyncio.gather(*clients)
        unapplied = await _unapplied(api, notes.operations)
    finally:
        await api.close()
    on_hand = await _on_hand(shop.database_url, skus)
    differences = [on_hand[sku] - notes.expected[sku] for sku in skus]
    return Result(
        kills=killed,
        direct=notes.direct,
        queued=len(set(notes.operations)),
        retries=notes.retries,
        lost=-sum(min(0, each) for each in differences),
        doubled=sum(max(0, each) for each in differences),
        unapplied=unapplied,
        violations=await violations(shop.database_url),
        took_s=monotonic() - began_s,
    )


def _restore(shop: Shop, target: str) -> None:
    """Bring a target back, however slow a starved machine starts it: what is counted is stock, not seconds."""
    for _ in range(RESTORES - 1):
        with suppress(StackError):
            return shop.restore(target)
    return shop.restore(target)


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
    """Return how many are left when none was applied for a while."""
    waiting, end_s = set(operations), monotonic() + SETTLE_S
    while waiting and monotonic() < end_s:
        asked = list(waiting)[:ASKED_AT_ONCE]
        settled = await asyncio.gather(*(_settled(api, operation) for operation in asked))
        if not any(settled):
            await asyncio.sleep(0.2)
            continue
        waiting.difference_update(compress(asked, settled))
        end_s = monotonic() + SETTLE_S
    return len(waiting)


async def _settled(api: Api, operation: str) -> bool:
    answer = await api.get(f"/operations/{operation}")
    return answer is not None and answer.is_success and answer.json()["status"] != "accepted"


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


def draw(rounds: int, rng: Random) -> list[list[str]]:
    """Draw so many kills, one or two together."""
    targets: list[list[str]] = []
    while (left := rounds - sum(map(len, targets))) > 0:
        targets.append(rng.sample(TARGETS, min(left, rng.choice((1, 1, 1, 1, 2)))))
    return targets


def main() -> int:
    """Kill as often as `--rounds` says; answer 0 when all were killed and nothing is lost or doubled."""
    parser = argparse.ArgumentParser(prog="inventory_kills")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="kills, %(default)s by default")
    parser.add_argument(
        "--most-s", type=float, default=MOST_S, help="begin none later, %(default)g by default"
    )
    wished, _ = parser.parse_known_args()
    rng = Random(6)
    with tempfile.TemporaryDirectory() as logs, running_shop(Path(logs), 2, **RATE) as shop:
        targets = draw(wished.rounds, rng)
        result = asyncio.run(kills(shop, targets, (0.0, 1.5), rng, most_s=wished.most_s))
    print(json.dumps(result.__dict__, indent=1))
    return 0 if result.right and result.kills == wished.rounds else 1
