"""What 10,000, 100,000 and 1,000,000 scopes would take, by arithmetic from what other benchmarks measured.

    python -m tests.bench engine_scale flags_scopes scale_plan

Reads their results in `.stack/bench`. Each scope has the policy's dependencies, each watched by two monitors; events of
each five seconds, as now, and of each thirty. A worker is used to six tenths.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from degradation_engine.domain.engine import SCOPES_LIMIT
from degradation_engine.outbox import STORE_EVERY_S
from resilience_contracts import default_policy, encode
from tests.bench.engine_scale import MONITOR, RESULT, reports
from tests.bench.flags_scopes import RESULT as FOLLOWERS

SCOPES, INTERVALS_S = (10_000, 100_000, 1_000_000), (5.0, 30.0)
MONITORS, USED = 2, 0.6
MICRO, MEGA, GIGA = 1e-6, 1e6, 1e9
MISSING = 2


@dataclass(frozen=True)
class Measured:
    """What one event, one scope and one follower cost."""

    cpu_us: float
    scope_kb: float
    base_mb: float
    level_bytes: float
    state_bytes: float
    follower_kb: float
    follower_base_mb: float

    @classmethod
    def read(cls) -> Measured:
        """Read the results.

        Raises:
            OSError: they are not there.
        """
        engine, followers = (json.loads(path.read_text(encoding="utf-8")) for path in (RESULT, FOLLOWERS))
        least, most = engine["costs"][0], engine["costs"][-1]
        few, many = followers[0], followers[-1]
        return cls(
            cpu_us=engine["kafka"]["engine"]["cpu_us"],
            scope_kb=_slope(least, most),
            base_mb=least["rss_mb"],
            level_bytes=most["level_bytes"],
            state_bytes=most["state_bytes"],
            follower_kb=_slope(few, many),
            follower_base_mb=few["rss_mb"],
        )


def _slope(least: dict[str, float], most: dict[str, float]) -> float:
    return (most["rss_mb"] - least["rss_mb"]) * 1000 / (most["scopes"] - least["scopes"])


def rows(measured: Measured, event_bytes: int, heartbeat_s: float, dependencies: int) -> Iterator[list[str]]:
    """Give the table's rows."""
    for scopes in SCOPES:
        for interval_s in INTERVALS_S:
            events_per_s = scopes * dependencies * MONITORS / interval_s
            cores = events_per_s * measured.cpu_us * MICRO
            stored_per_s = scopes * measured.state_bytes / max(STORE_EVERY_S, interval_s)
            workers = math.ceil(cores / USED)
            yield [
                f"{scopes:,}",
                f"{interval_s:g}",
                f"{events_per_s:,.0f}",
                f"{events_per_s * event_bytes / MEGA:,.0f}",
                f"{cores:,.1f}",
                f"{workers:,}",
                f"{max(workers, math.ceil(scopes / SCOPES_LIMIT)):,}",
                f"{(workers * measured.base_mb + scopes * measured.scope_kb / 1000) / 1000:,.1f}",
                f"{(scopes * measured.level_bytes / heartbeat_s + stored_per_s) / MEGA:,.0f}",
                f"{scopes * measured.level_bytes / GIGA:,.2f}",
                f"{scopes * measured.state_bytes / GIGA:,.2f}",
                f"{(measured.follower_base_mb + scopes * measured.follower_kb / 1000) / 1000:,.1f}",
            ]


def main() -> int:
    """Print the table; answer 2 when what it is made of has not been measured."""
    try:
        measured = Measured.read()
    except OSError as error:
        print(
            f"{error.filename} is missing: run `python -m tests.bench engine_scale flags_scopes`",
            file=sys.stderr,
        )
        return MISSING
    policy = default_policy()
    event = next(reports(policy, 1, datetime.now(UTC), 0))
    record = encode(event, MONITOR)
    event_bytes = len(record.value or b"") + sum(len(name) + len(text) for name, text in record.headers)
    print(
        f"An event: {event_bytes} bytes, {measured.cpu_us:.0f} us. A scope: {measured.scope_kb:.1f} kB in the engine,"
    )
    print(f"{measured.follower_kb:.1f} kB in a flag-service that follows it.\n")
    print(
        "| scopes | events each, s | events/s | MB/s in | engine cores | workers | partitions at least | engine GB"
        " | MB/s out at rest | levels GB | states GB | follower GB |\n" + "|---" * 12 + "|"
    )
    for row in rows(measured, event_bytes, policy.timing.heartbeat_s, len(policy.dependencies)):
        print("| " + " | ".join(row) + " |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
