"""Records latencies of the monitor's own probes against real servers, for `early_warning`.

    resilience up            # in another terminal
    python -m tests.bench.latency_recording redis redis://127.0.0.1:6379 > tests/bench/data/latency-redis.json

Each probe goes through a proxy that delays answers during three leaks, by equal steps up to beyond the deadline. Probes
follow each other at once and stand for one interval each, so that a night is recorded in minutes; what else the machine
does is the noise.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from health_monitor.adapters.postgresql import PostgresqlProbe
from health_monitor.adapters.redis import RedisProbe
from health_monitor.attempt import Attempts, Limits
from resilience_chaos.proxy import Kind, Link, Order
from resilience_contracts import default_policy

from .latency_series import DAY_S, Probe, Series, Trouble
from .latency_series import Kind as Wrong

DATA = Path(__file__).parent / "data"
QUIET_PROBES = 1200
LEAKS = (60, 180, 300)
"""In probes: 5, 15 and 25 minutes at one every 5 s."""
FAILING_PROBES = 24
PAUSE_S = 0.01
ROUND_TRIPS = {"redis": 4, "postgresql": 5}


def delays_ms(deadline_ms: float) -> Iterator[float]:
    """Yield the delay of each probe: none, then growing beyond the deadline, then none again."""
    for steps in LEAKS:
        yield from [0.0] * QUIET_PROBES
        yield from (deadline_ms * step / steps for step in range(steps))
        yield from [deadline_ms * 1.2] * FAILING_PROBES
    yield from [0.0] * QUIET_PROBES


async def record(name: str, url: str) -> list[float | None]:
    """Probe one server through the proxy and return each latency, in ms; None where the probe failed."""
    rule, address = default_policy().dependencies[name], urlsplit(url)
    async with Link(name, 0, address.port or 0, random.Random(1)) as link:
        here = url.replace(f":{address.port}", f":{link.port}").replace("localhost", "127.0.0.1")
        probe = (
            RedisProbe(here, "recording", rule.deadline_s)
            if name == "redis"
            else PostgresqlProbe(here, rule.deadline_s)
        )
        limits = Limits(rule.latency_objective_ms, rule.deadline_s)
        attempts = Attempts(name, probe, limits, lambda: 0.0)
        latencies: list[float | None] = []
        for delay_ms in delays_ms(rule.deadline_s * 1000):
            # An answer is several round trips; the delay of each adds up to about what is wanted.
            link.obey(Order(kind=Kind.LATENCY, delay_ms=delay_ms / ROUND_TRIPS[name]) if delay_ms else None)
            result = await attempts.run()
            latencies.append(None if result.outcome.miss else round(result.latency_ms, 1))
            await asyncio.sleep(PAUSE_S)
        await attempts.close()
    return latencies


def recorded() -> list[Series]:
    """Return what was recorded as series, one probe an interval."""
    return [_series(path) for path in sorted(DATA.glob("latency-*.json"))]


def _series(path: Path) -> Series:
    name = path.stem.removeprefix("latency-")
    rule = default_policy().dependencies[name]
    late_ms, interval_s = rule.deadline_s * 1000, rule.interval_s
    latencies: list[float | None] = json.loads(path.read_text(encoding="utf-8"))
    probes = tuple(
        Probe(index * interval_s, late_ms if latency_ms is None else latency_ms, latency_ms is None)
        for index, latency_ms in enumerate(latencies)
    )
    troubles, at = [], 0
    for steps in LEAKS:
        start, fails = at + QUIET_PROBES, at + QUIET_PROBES + steps
        at = fails + FAILING_PROBES
        troubles.append(Trouble(Wrong.LEAK, start * interval_s, fails * interval_s, at * interval_s, 1.0))
    return Series(name, rule, probes, tuple(troubles), len(probes) * interval_s / DAY_S)


if __name__ == "__main__":
    json.dump(asyncio.run(record(*sys.argv[1:3])), sys.stdout)
