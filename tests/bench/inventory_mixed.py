"""A mixed load of 32 clients over several processes, and storms for the last units: no 5xx, no deadlock, right books."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import uuid
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from random import Random
from time import monotonic

import httpx

from tests.bench.inventory_kills import RATE
from tests.bench.inventory_replicas import Api, Shop, running_shop
from tests.inventory_api.auditor import violations

SECONDS = 60.0
CLIENTS = 32
REPLICAS = 2
SKUS, LOCATIONS = 8, ("shop", "depot")
STOCK, HOLDS = 100, 500
SERVER_ERROR = 500
UNAVAILABLE = 503
NO_ANSWER = 0


@dataclass(frozen=True)
class Result:
    """Answers by status, what the audits found, and how long the slowest hundredth took."""

    statuses: dict[int, int]
    violations: dict[str, int]
    per_s: float
    p99_ms: float

    @property
    def right(self) -> bool:
        """Whether nobody got a server error and the books are right."""
        return not self.violations and not any(
            status >= SERVER_ERROR or status == NO_ANSWER for status in self.statuses
        )


class Client:
    """Does everything that writes, in random order, on random places."""

    def __init__(self, api: Api, skus: list[str], rng: Random) -> None:
        self._api, self._skus, self._rng = api, skus, rng
        self.statuses: Counter[int] = Counter()
        self.took_s: list[float] = []

    async def work(self, until_s: float) -> None:
        """Work until then."""
        while monotonic() < until_s:
            await self._rng.choice(
                (self._buy, self._buy, self._buy, self._adjust, self._move, self._count, self._batch)
            )()

    async def _ask(self, path: str, body: object) -> httpx.Response | None:
        began_s = monotonic()
        answer = await self._api.post(path, body, uuid.uuid4().hex)
        self.took_s.append(monotonic() - began_s)
        self.statuses[answer.status_code if answer is not None else NO_ANSWER] += 1
        return answer

    def _line(self, quantity: int) -> dict[str, object]:
        rng = self._rng
        return {"sku": rng.choice(self._skus), "location": rng.choice(LOCATIONS), "quantity": quantity}

    async def _buy(self) -> None:
        lines = [self._line(self._rng.randint(1, 3)) for _ in range(self._rng.randint(1, 4))]
        held = await self._ask("/reservations", {"owner_ref": "cart", "lines": lines})
        if held is None or not held.is_success:
            return
        name = held.json()["id"]
        verb = self._rng.choice(("confirm", "confirm", "release", "extend"))
        settled = await self._ask(f"/reservations/{name}/{verb}", {})
        if verb == "confirm" and settled is not None and settled.is_success and self._rng.random() < 0.3:
            lines = [
                {key: line[key] for key in ("sku", "location", "quantity")}
                for line in settled.json()["lines"]
            ]
            await self._ask("/returns", {"reservation_id": name, "lines": lines[:1]})

    async def _adjust(self) -> None:
        place = self._line(1)
        delta = self._rng.choice((-2, 3, 8))
        reason = "RECEIPT" if delta > 0 else "SALE"
        body = {"sku": place["sku"], "location": place["location"], "delta": delta, "reason": reason}
        await self._ask("/adjustments", body)

    async def _move(self) -> None:
        source, destination = self._rng.sample(LOCATIONS, 2)
        lines = [{"sku": sku, "quantity": self._rng.randint(1, 3)} for sku in self._rng.sample(self._skus, 2)]
        body = {"source": source, "destination": destination, "lines": lines}
        planned = await self._ask("/transfers", body)
        if planned is not None and planned.is_success:
            name = planned.json()["id"]
            shipped = await self._ask(f"/transfers/{name}/ship", {})
            if shipped is not None and shipped.is_success:
                await self._ask(f"/transfers/{name}/{self._rng.choice(('receive', 'cancel'))}", {})

    async def _count(self) -> None:
        place = self._line(1)
        body = {"sku": place["sku"], "location": place["location"], "counted": self._rng.randint(20, 60)}
        await self._ask("/counts", body)

    async def _batch(self) -> None:
        places = [self._line(1) for _ in range(5)]
        items = [
            {
                "sku": p["sku"],
                "location": p["location"],
                "delta": self._rng.choice((-1, 2)),
                "reason": "CORRECTION",
            }
            for p in places
        ]
        await self._ask(
            "/adjustments:batch", {"mode": self._rng.choice(("atomic", "best_effort")), "items": items}
        )


async def _open(api: Api, count: int, on_hand: int) -> list[str]:
    for code in LOCATIONS:
        await api.post("/locations", {"code": code, "name": code})
    skus = [f"SKU-{uuid.uuid4().hex[:12]}" for _ in range(count)]
    for sku in skus:
        await api.post("/skus", {"sku": sku, "name": sku, "reorder_point": 10})
        for code in LOCATIONS:
            body = {"sku": sku, "location": code, "delta": on_hand, "reason": "RECEIPT"}
            added = await api.post("/adjustments", body)
            assert added is not None, "no answer"
            added.raise_for_status()
    return skus


async def mixed(shop: Shop, seconds: float, clients: int) -> Result:
    """Load a shop for so long; then count."""
    api = Api(shop.urls, timeout_s=30)
    try:
        skus = await _open(api, SKUS, 200)
        crowd = [Client(api, skus, Random(number)) for number in range(clients)]
        until_s = monotonic() + seconds
        await asyncio.gather(*(client.work(until_s) for client in crowd))
    finally:
        await api.close()
    statuses: Counter[int] = Counter()
    for client in crowd:
        statuses.update(client.statuses)
    took_s = sorted(time_s for client in crowd for time_s in client.took_s)
    return Result(
        dict(sorted(statuses.items())),
        await violations(shop.database_url),
        len(took_s) / seconds,
        took_s[len(took_s) * 99 // 100] * 1000,
    )


async def storm(shop: Shop, stock: int, holds: int) -> Counter[int]:
    """Ask at once for more than there is, of two SKUs, in any order of lines; return the last answers by status.

    Who is told to come back comes back, with the same key.
    """
    api = Api(shop.urls, timeout_s=60, connections=holds)
    rng = Random(4)
    try:
        skus = await _open(api, 2, stock)

        async def hold(number: int) -> int:
            lines = [{"sku": sku, "location": "shop", "quantity": 1} for sku in rng.sample(skus, 2)]
            body = {"owner_ref": f"cart-{number}", "lines": lines}
            while True:
                answer = await api.post("/reservations", body, key=f"{skus[0]}-{number}")
                if answer is not None and answer.status_code != UNAVAILABLE:
                    return answer.status_code
                await asyncio.sleep(1)

        return Counter(await asyncio.gather(*(hold(number) for number in range(holds))))
    finally:
        await api.close()


def main() -> int:
    """Storm, then load for 60 s (MIXED_S of the environment); answer 0 when all is right."""
    seconds = float(os.environ.get("MIXED_S", SECONDS))
    with tempfile.TemporaryDirectory() as logs, running_shop(Path(logs), REPLICAS, **RATE) as shop:
        stormed = asyncio.run(storm(shop, STOCK, HOLDS))
        result = asyncio.run(mixed(shop, seconds, CLIENTS))
    print(json.dumps({"storm": dict(stormed), **result.__dict__}, indent=1), file=sys.stdout)
    return 0 if result.right and stormed == {201: STOCK, 409: HOLDS - STOCK} else 1
