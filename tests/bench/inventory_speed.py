"""How fast one process of the inventory API is, beside floors of the same run, and what it does under a burst.

The client has a core of its own; the API with PostgreSQL, Redis and Kafka, and each floor, has the other one.

- Cached availability: beside a bare FastAPI endpoint that returns the same bytes over the same uvicorn.
- Reservations: beside a bare asyncpg loop with the same guarded UPDATE and the same inserts.
- 500 requests each second, due whatever came back; a latency counts from when the request was due.
- 1,000 clients at once.
- A burst of 5,000 requests each second: every answer is a success or a refusal that says when to come back.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from pathlib import Path
from statistics import median

import asyncpg
import httpx

from tests.bench.inventory_client import Kind, Outcome, Plan, client, drive, request
from tests.bench.inventory_floors import bare_endpoint, bare_holds
from tests.bench.inventory_replicas import PARTS, patient_policy
from tests.fixtures.stack import RunningStack, running_stack

SKUS, HOT, LOCATIONS, ON_HAND = 200, 20, ("shop", "depot"), 1_000_000
ROUNDS, ROUND_S = 5, 3.0
WORKERS = 8
STEADY_PER_S, STEADY_S = 500, 20.0
CROWD = 1_000
BURST_PER_S, BURST_S = 5_000, 15.0
AVAILABILITY_BOUND, RESERVATIONS_BOUND = 0.7, 0.5
STEADY_P99_MS_BOUND, BURST_P99_MS_BOUND, MOST_IMPORTANT_BOUND = 30.0, 50.0, 0.999
SETTLED_SHARE = 0.01
REST_S = 120.0
WELL = {200, 201}
REFUSED = {429, 503}
RESULT = Path(".stack/bench/inventory_speed.json")


def _stock(number: int) -> bytes:
    return request("GET", f"/v1/stock/SKU-{number % SKUS:03}")


def _hold(number: int) -> bytes:
    line = {"sku": f"SKU-{number % SKUS:03}", "location": LOCATIONS[number % 2], "quantity": 1}
    return request("POST", "/v1/reservations", json.dumps({"owner_ref": "cart", "lines": [line]}).encode())


STOCK = tuple(map(_stock, range(SKUS)))
HOLDS = tuple(map(_hold, range(SKUS * 2)))
BATCH = tuple(
    request("POST", "/v1/availability:batch", json.dumps({"skus": [f"SKU-{n:03}", f"SKU-{m:03}"]}).encode())
    for n, m in pairwise(range(SKUS))
)
LISTS = tuple(request("GET", f"/v1/stock?location={place}&limit=50") for place in LOCATIONS)
REPORTS = (request("GET", "/v1/dashboard"),)
ADJUSTMENTS = tuple(
    request(
        "POST",
        "/v1/adjustments",
        json.dumps({"sku": f"SKU-{n:03}", "location": "shop", "delta": 1, "reason": "RECEIPT"}).encode(),
    )
    for n in range(SKUS)
)


class Bench:
    """A running stack, a client, and what was measured with them: name, figure, bound, whether it holds."""

    def __init__(self, stack: RunningStack, pool: ProcessPoolExecutor) -> None:
        self._stack = stack
        self._pool = pool
        self.port = int(stack.url("inventory-api").rpartition(":")[2])
        self.rows: list[tuple[str, str, str, bool]] = []

    def fill(self) -> bytes:
        """Put goods on the shelves; return how one of them is answered."""
        with httpx.Client(base_url=self._stack.url("inventory-api"), trust_env=False, timeout=10) as api:
            for code in LOCATIONS:
                api.post("/v1/locations", json={"code": code, "name": code}).raise_for_status()
            for number in range(SKUS):
                sku = f"SKU-{number:03}"
                api.post("/v1/skus", json={"sku": sku, "name": sku}).raise_for_status()
                for code in LOCATIONS:
                    body = {"sku": sku, "location": code, "delta": ON_HAND, "reason": "RECEIPT"}
                    api.post("/v1/adjustments", json=body).raise_for_status()
            return api.get("/v1/stock/SKU-000").raise_for_status().content

    def rest(self) -> None:
        """Wait until everything that was written before is published: it is no part of what comes next."""
        end_s = time.monotonic() + REST_S
        while max(self._ages_s()) > 0:
            assert time.monotonic() < end_s, f"not at rest after {REST_S:.0f} s"
            time.sleep(0.1)

    def _ages_s(self) -> list[float]:
        said = httpx.get(self._stack.metrics_url("inventory-api"), trust_env=False, timeout=10).text
        return [
            float(age)
            for age in re.findall(r"^inventory_(?:outbox|redo)_age_seconds ([-.e\d]+)", said, re.MULTILINE)
        ]

    def load(self, plan: Plan) -> tuple[dict[str, Outcome], float]:
        """Drive the client."""
        return self._pool.submit(drive, plan).result()

    def row(self, name: str, figure: str, bound: str, *, holds: bool) -> None:
        """Note a figure beside its bound."""
        self.rows.append((name, figure, bound, holds))
        print(f"{name:<58}{figure:>18}{bound:>18}  {'' if holds else 'MISSED'}", flush=True)

    def availability(self, body: bytes) -> None:
        """Compare with a bare endpoint, in turns."""
        kinds = [Kind("stock", 1, STOCK[:HOT])]
        floors: list[float] = []
        ours: list[float] = []
        with bare_endpoint(body) as bare:
            for _ in range(ROUNDS):
                for port, rates in ((bare, floors), (self.port, ours)):
                    outcomes, per_s = self.load(Plan(port, kinds, ROUND_S, WORKERS))
                    assert set(outcomes["stock"].statuses) == {200}, outcomes["stock"].statuses
                    rates.append(per_s)
        ratio = median(ours) / median(floors)
        self.row(
            f"cached availability, {median(ours):.0f}/s of {median(floors):.0f}/s bare",
            f"{ratio:.2f} x",
            f">= {AVAILABILITY_BOUND} x",
            holds=ratio >= AVAILABILITY_BOUND,
        )

    def reservations(self) -> None:
        """Compare with a bare asyncpg loop, in turns."""
        kinds = [Kind("hold", 1, HOLDS)]
        floors: list[float] = []
        ours: list[float] = []
        for _ in range(ROUNDS):
            floors.append(asyncio.run(bare_holds(self._stack.env["DATABASE_URL"], WORKERS, ROUND_S)))
            outcomes, per_s = self.load(Plan(self.port, kinds, ROUND_S, WORKERS))
            assert set(outcomes["hold"].statuses) == {201}, outcomes["hold"].statuses
            ours.append(per_s)
        ratio = median(ours) / median(floors)
        self.row(
            f"reservations, {median(ours):.0f}/s of {median(floors):.0f}/s bare",
            f"{ratio:.2f} x",
            f">= {RESERVATIONS_BOUND} x",
            holds=ratio >= RESERVATIONS_BOUND,
        )

    def steady(self) -> None:
        """500 each second: nine of ten look, one holds."""
        kinds = [Kind("stock", 0.8, STOCK), Kind("availability", 0.1, BATCH), Kind("hold", 0.1, HOLDS)]
        outcomes, _ = self.load(Plan(self.port, kinds, STEADY_S, 200, STEADY_PER_S))
        total = _together(outcomes)
        p99 = total.ms(0.99)
        well = set(total.statuses) <= WELL
        self.row(
            f"p99 at {STEADY_PER_S}/s, p50 {total.ms(0.5):.1f} ms",
            f"{p99:.1f} ms",
            f"<= {STEADY_P99_MS_BOUND:.0f} ms",
            holds=p99 <= STEADY_P99_MS_BOUND and well,
        )

    def crowd(self) -> None:
        """A thousand clients at once, each of which asks again as soon as it is answered."""
        kinds = [Kind("stock", 0.9, STOCK), Kind("hold", 0.1, HOLDS)]
        outcomes, _ = self.load(Plan(self.port, kinds, 10.0, CROWD))
        total = _together(outcomes)
        wrong = (
            sum(n for status, n in total.statuses.items() if status not in WELL | REFUSED) + total.unexplained
        )
        self.row(
            f"{CROWD} clients, {_told(total.statuses)}",
            f"{wrong} errors",
            "0",
            holds=wrong == 0 < len(total.took_s),
        )

    def burst(self) -> None:
        """5,000 each second of everything, for longer than any queue lasts."""
        held = self._held(int(BURST_PER_S * BURST_S * SETTLED_SHARE) + CROWD)
        settle = [
            request("POST", f"/v1/reservations/{name}/{('confirm', 'release')[n % 2]}")
            for n, name in enumerate(held)
        ]
        kinds = [
            Kind("confirm, release", SETTLED_SHARE, settle),
            Kind("hold", 0.04, HOLDS),
            Kind("stock", 0.7, STOCK),
            Kind("availability", 0.1, BATCH),
            Kind("adjustment", 0.05, ADJUSTMENTS),
            Kind("list", 0.07, LISTS),
            Kind("dashboard", 0.03, REPORTS),
        ]
        outcomes, per_s = self.load(Plan(self.port, kinds, BURST_S, CROWD, BURST_PER_S))
        for name, outcome in outcomes.items():
            print(
                f"  {name:<18} p50 {outcome.ms(0.5):6.1f}  p99 {outcome.ms(0.99):6.1f} ms  {_told(outcome.statuses)}"
            )
        total = _together(outcomes)
        p99, deliberate = total.ms(0.99), set(total.statuses) <= WELL | REFUSED and not total.unexplained
        first = outcomes["confirm, release"]
        served = first.statuses[200] / sum(first.statuses.values())
        self.row(
            f"burst of {BURST_PER_S}/s, answered {per_s:.0f}/s: p99",
            f"{p99:.1f} ms",
            f"<= {BURST_P99_MS_BOUND:.0f} ms",
            holds=p99 <= BURST_P99_MS_BOUND,
        )
        self.row("  every answer 200, or 503/429 with Retry-After", str(deliberate), "True", holds=deliberate)
        self.row(
            "  confirm and release served", f"{served:.2%}", ">= 99.9%", holds=served >= MOST_IMPORTANT_BOUND
        )

    def _held(self, count: int) -> list[str]:
        async def hold() -> list[str]:
            connection = await asyncpg.connect(self._stack.env["DATABASE_URL"])
            rows = await connection.fetch(
                "SELECT id FROM reservations WHERE state = 'ACTIVE' LIMIT $1", count
            )
            await connection.close()
            return [str(row["id"]) for row in rows]

        held = asyncio.run(hold())
        assert len(held) == count, "too few reservations were made before"
        return held


def _together(outcomes: dict[str, Outcome]) -> Outcome:
    total = Outcome()
    for outcome in outcomes.values():
        total.statuses.update(outcome.statuses)
        total.took_s += outcome.took_s
        total.unexplained += outcome.unexplained
    return total


def _told(statuses: Counter[int]) -> str:
    return ", ".join(f"{number} x {status or 'no answer'}" for status, number in sorted(statuses.items()))


def main() -> int:
    """Measure all, or those that ONLY of the environment names; answer 1 when a bound is missed."""
    only = set(filter(None, os.environ.get("ONLY", "").split(",")))
    with (
        client() as pool,
        tempfile.TemporaryDirectory() as logs,
        running_stack(Path(logs), parts=PARTS, policy_text=patient_policy()) as stack,
    ):
        stack.restart("inventory-api", RATE_LIMIT_PER_S="1000000")
        bench = Bench(stack, pool)
        body = bench.fill()
        parts: dict[str, Callable[[], None]] = {
            "availability": lambda: bench.availability(body),
            "reservations": bench.reservations,
            "steady": bench.steady,
            "crowd": bench.crowd,
            "burst": bench.burst,
        }
        for name, measure in parts.items():
            if not only or name in only:
                measure()
                bench.rest()
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(bench.rows, indent=1), encoding="utf-8")
    return int(not all(holds for *_, holds in bench.rows))


if __name__ == "__main__":
    sys.exit(main())
