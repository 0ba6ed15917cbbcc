"""PostgreSQL frozen under traffic, at several paces and for several lengths: the table of what is seen.

One stack with short dwell times and the probe intervals that ship. Bounds, for each row: the breaker is heard before
the probe, callers' 99th percentile below 300 ms (see `allowed_s` for a busy machine), at most twice the pool's
connections begun within a second, and never more connections of inventory-api than its pool has.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from pathlib import Path

from resilience_contracts import default_policy_text
from tests.e2e.freezing import freeze, seed
from tests.e2e.quick import quick_policy_text
from tests.e2e.shop import Shop
from tests.e2e.story import Story, allowed_s, breaker_opened, level_fell, p99_s, probe_missed, told
from tests.fixtures.stack import RunningStack, running_stack

ROUNDS = ((20, 10), (40, 10), (80, 10), (40, 30))
"""Calls a second, seconds frozen."""
POOL = 8
RESULT = Path(".stack/bench/breaker_outage.json")


def row(story: Story) -> dict[str, float]:
    """Return what the table shows; seconds after the freeze, or after the thaw for `back_s`."""
    moments = {
        name: heard.at_s - story.frozen_s
        for name, wanted in (("opened", breaker_opened), ("fell", level_fell), ("missed", probe_missed))
        if (heard := story.first(wanted))
    }
    inventory, everybody = story.peak(story.thawed_s)
    return moments | {
        "calls": len(story.during()),
        "p99_ms": p99_s(story.during()) * 1000,
        "longest_ms": max(call.took_s for call in story.during()) * 1000,
        "control_p99_ms": p99_s(story.control()) * 1000,
        "allowed_ms": allowed_s(story) * 1000,
        "before": story.peak(story.began_s, story.frozen_s)[1],
        "inventory": inventory,
        "everybody": everybody,
        "sessions_in_a_second": story.sessions_in_a_second(),
        "back_s": story.back_s - story.thawed_s,
    }


def missed(name: str, seen: dict[str, float]) -> list[str]:
    """Name the bounds that a row misses."""
    bounds = {
        "breaker before probe": seen.get("opened", 1e9) < seen.get("missed", 1e9),
        "p99": seen["p99_ms"] < seen["allowed_ms"],
        "connections": seen["inventory"] <= POOL,
        "herd": seen["sessions_in_a_second"] <= 2 * POOL,
    }
    return [f"{name}: {bound}" for bound, held in bounds.items() if not held]


def rounds(stack: RunningStack, shipped: Path) -> dict[str, dict[str, float]]:
    """Freeze it again and again."""
    shop = Shop(stack.url("inventory-api"), stack.url("flag-service"), stack.operator_key())
    try:
        seed(shop)
    finally:
        shop.close()
    stack.restart("health-monitor", RESILIENCE_POLICY_FILE=str(shipped))
    rows = {}
    for calls_per_s, frozen_s in ROUNDS:
        name = f"{calls_per_s} calls/s, frozen {frozen_s} s"
        print(f"-- {name}", flush=True)
        story = asyncio.run(freeze(stack, calls_per_s=calls_per_s, frozen_s=frozen_s))
        print(told(story), flush=True)
        rows[name] = row(story)
    return rows


def main() -> int:
    """Measure, print, write; answer 1 when a bound is missed."""
    with tempfile.TemporaryDirectory() as kept:
        shipped = Path(kept) / "policy.yaml"
        shipped.write_text(default_policy_text(), encoding="utf-8")
        with running_stack(Path(kept) / "logs", policy_text=quick_policy_text()) as stack:
            rows = rounds(stack, shipped)
    names = list(next(iter(rows.values())))
    print(f"{'':28}" + "".join(f"{name[:12]:>13}" for name in names))
    for name, seen in rows.items():
        print(f"{name:28}" + "".join(f"{seen.get(each, float('nan')):13.2f}" for each in names))
    faults = [fault for name, seen in rows.items() for fault in missed(name, seen)]
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps({"rows": rows, "missed": faults}, indent=2), encoding="utf-8")
    print("Missed: " + ("; ".join(faults) or "none"))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
