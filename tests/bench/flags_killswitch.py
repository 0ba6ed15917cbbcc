"""The kill switch with PostgreSQL, Redis, S3 and OpenAI all down: from the request to inventory-api behaving.

A hold of `inventory.availability` is set and ended by turns, and each time inventory-api is asked until its answer
changes. The floor is a request for a level at flag-service in the same run, with as many round trips over HTTP.
Bound: p99 at most 250 ms.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from resilience_contracts import Level
from tests.e2e.quick import quick_policy_text
from tests.e2e.shop import Shop, until
from tests.fixtures.stack import RunningStack, running_stack

DEPENDENCIES = ("postgresql", "redis", "s3", "openai")
HELD = "inventory.availability"
HOLD = f"/v1/holds/default/{HELD}"
ROUNDS = 50
PAUSE_S = 0.003
PATIENCE_S = 10.0
P99_BOUND_S = 0.25
PARTS = (*DEPENDENCIES, "kafka", "health-monitor", "degradation-engine", "inventory-api", "flag-service")
RESULT = Path(".stack/bench/flags_killswitch.json")


def at_level(shop: Shop, level: Level) -> None:
    """Wait until inventory-api stands at a level."""
    until(level.name, lambda: ((seen := shop.level_at_inventory()) and seen.level is level) or None, 120)


def behaves(shop: Shop, status: int) -> None:
    """Ask inventory-api until it answers with a status."""
    end = time.perf_counter() + PATIENCE_S
    while (answer := shop.availability()).status_code != status:
        if time.perf_counter() > end:
            raise TimeoutError(f"{answer.status_code} instead of {status}: {answer.text}")
        time.sleep(PAUSE_S)


def switched(shop: Shop, *, off: bool) -> float:
    """Set the hold or end it; return the seconds until inventory-api behaves."""
    began = time.perf_counter()
    if off:
        body = {"state": "DISABLED", "reason": "the kill switch is measured"}
        shop.flags.put(HOLD, json=body).raise_for_status()
    else:
        shop.flags.delete(HOLD).raise_for_status()
    behaves(shop, 503 if off else 200)
    return time.perf_counter() - began


def asked(shop: Shop) -> float:
    """Return the seconds of two requests, one to each service."""
    began = time.perf_counter()
    shop.flags.get("/v1/levels/default")
    shop.availability()
    return time.perf_counter() - began


def measure(stack: RunningStack, rounds: int) -> dict[str, list[float]]:
    """Take everything down, then switch off and on."""
    shop = Shop(stack.url("inventory-api"), stack.url("flag-service"), stack.operator_key())
    try:
        at_level(shop, Level.OPTIMAL)
        shop.seed()
        behaves(shop, 200)
        for part in DEPENDENCIES:
            stack.stop(part)
        at_level(shop, Level.EMERGENCY)
        behaves(shop, 200)
        floor = [asked(shop) for _ in range(rounds)]
        taken = {"off": [], "on": [], "two requests": floor}
        for _ in range(rounds):
            taken["off"].append(switched(shop, off=True))
            taken["on"].append(switched(shop, off=False))
        return taken
    finally:
        shop.close()


def main() -> int:
    with (
        tempfile.TemporaryDirectory() as place,
        running_stack(Path(place), parts=PARTS, policy_text=quick_policy_text()) as stack,
    ):
        taken = measure(stack, ROUNDS)
    p99 = {name: statistics.quantiles(values, n=100)[98] for name, values in taken.items()}
    print(f"{'':<14} {'p50 ms':>7} {'p99 ms':>7} {'worst ms':>8}")
    for name, values in taken.items():
        print(
            f"{name:<14} {statistics.median(values) * 1000:7.0f} {p99[name] * 1000:7.0f} {max(values) * 1000:8.0f}"
        )
    print(f"{ROUNDS} rounds with {', '.join(DEPENDENCIES)} down; load {os.getloadavg()[0]:.1f}")
    faults = [
        f"{name}: p99 of {p99[name] * 1000:.0f} ms is above {P99_BOUND_S * 1000:.0f}"
        for name in ("off", "on")
        if p99[name] > P99_BOUND_S
    ]
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps({"p99_s": p99, "missed": faults}, indent=2), encoding="utf-8")
    print("\n".join(faults))
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
