"""A shop's load on the whole system: steady, in a burst, by people who think, for long, and with what fails in the middle.

    make load                                                      a sample of each, some 8 minutes
    make load ARGS="--steady-s 600 --soak-s 7200 --freezes"        all of it, 2 hours and a half
    make load ARGS="--phases steady,redis-kill"                    some of it

The client has one of two cores, and the system, all of which is up, both: on one alone it is bound by that core, and
refuses an eighth of 500 a second. The policy has short dwell times, so that a return takes seconds. The load goes by
`load_mix`; a latency counts from when its request was due. Floors of the same run: a bare FastAPI endpoint under the
same open loop, and bare asyncpg that holds. Bounds, where the machine is quiet:

- steady: 500 each second, p95 at most 20 ms and p99 at most 30 ms, everything served;
- burst of 5,000 each second, and 1,000 users who think for 1 to 3 s: what is not served is refused with Retry-After;
- soak: no service grows by more than 1 MB for each 100,000 requests, by the line through its memory once warm;
- a dependency killed (or frozen) and brought back: every answer is served, stale and says so, accepted for later, or
  refused with Retry-After, and within 30 s of its return as much is served as before.

A machine that bears less than 500 each second wants `--per-s`; what it bears is told by the floors.

Results: a table and pictures in `.stack/bench/load.md`, all figures in `load.json`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from resilience_cli.stack import DEPENDENCIES
from tests.bench.inventory_client import CLIENT_CORES, SERVER_CORES, Kind, Plan, client, drive
from tests.bench.inventory_floors import bare_endpoint, bare_holds
from tests.bench.load_mix import fill, kinds
from tests.bench.load_phase import BURST_PER_S, CONNECTIONS, DELIBERATE, PER_S, Phase, Seen, play
from tests.bench.load_profile import profiled
from tests.bench.load_report import Floors, Row, write
from tests.e2e.quick import quick_policy_text
from tests.fixtures.stack import RunningStack, running_stack

STEADY_S, BURST_S, USERS_S, SOAK_S = 30.0, 10.0, 20.0, 120.0
BEFORE_S, DOWN_S, AFTER_S = 8.0, 12.0, 45.0
FLOOR_S, WORKERS = 5.0, 8
SKUS = 100
P95_MS_BOUND, P99_MS_BOUND = 20.0, 30.0
GROWN_MB_BOUND, PER_REQUESTS = 1.0, 100_000
RECOVERED_S_BOUND = 30.0
FAILING = (*DEPENDENCIES, "kafka")
SINGLE = ("steady", "burst", "users", "soak")
KILLS, FREEZES = (tuple(f"{part}-{how}" for part in FAILING) for how in ("kill", "freeze"))
RESULTS = Path(".stack/bench")
USAGE = 2


def phases(wished: argparse.Namespace) -> Iterator[Phase]:
    """Give what is wished for, in a fixed order: what leaves the system as it was goes first."""
    named = wished.phases.split(",") if wished.phases else (*SINGLE, *KILLS, *(FREEZES * wished.freezes))
    lasting = {
        "steady": wished.steady_s,
        "burst": wished.burst_s,
        "users": wished.users_s,
        "soak": wished.soak_s,
    }
    pace = {"burst": BURST_PER_S, "users": None}
    for name in (*SINGLE, *KILLS, *FREEZES):
        if name not in named:
            continue
        if name in lasting:
            yield Phase(name, lasting[name], pace.get(name, wished.per_s))
        else:
            yield Phase(name, BEFORE_S + wished.down_s + AFTER_S, wished.per_s, name, BEFORE_S, wished.down_s)


def judged(seen: Seen) -> Iterator[tuple[str, bool]]:
    """Give each bound with its figure, and whether it holds."""
    total, given, phase = seen.total, seen.given, seen.phase
    yield (
        f"deliberate {sum(given[each] for each in DELIBERATE) / given.total():.2%}",
        set(given) <= DELIBERATE,
    )
    if phase.name == "steady":
        p95, p99 = total.ms(0.95), total.ms(0.99)
        yield f"p95 {p95:.0f} <= {P95_MS_BOUND:.0f} ms", p95 <= P95_MS_BOUND
        yield f"p99 {p99:.0f} <= {P99_MS_BOUND:.0f} ms", p99 <= P99_MS_BOUND
    if phase.name == "soak":
        bound = GROWN_MB_BOUND * max(1.0, given.total() / PER_REQUESTS)
        for service, grown in seen.grown_mb().items():
            yield f"{service} {grown:+.1f} <= {bound:.1f} MB", grown <= bound
    if phase.fault:
        bound_s = RECOVERED_S_BOUND
        yield f"well {seen.recovered_s:.0f} <= {bound_s:.0f} s after", seen.recovered_s <= bound_s


def floors(stack: RunningStack, pool: ProcessPoolExecutor, body: bytes) -> Floors:
    """Measure what is compared with."""
    looks = Kind("look", 1, kinds(SKUS)[0].requests)
    with bare_endpoint(body) as port:
        paced = pool.submit(drive, Plan(port, [looks], FLOOR_S, CONNECTIONS, PER_S)).result()[0]["look"]
        most_per_s = pool.submit(drive, Plan(port, [looks], FLOOR_S, WORKERS)).result()[1]
    holds_per_s = asyncio.run(bare_holds(stack.env["DATABASE_URL"], WORKERS, FLOOR_S))
    return Floors(paced.ms(0.5), paced.ms(0.95), paced.ms(0.99), most_per_s, holds_per_s)


def run(logs_to: Path, planned: Sequence[Phase], results: Path, *, profile: bool = False) -> list[Row]:
    """Measure floors and phases, write the report after each, and return its rows."""
    rows: list[Row] = []
    with (
        client(SERVER_CORES | CLIENT_CORES) as pool,
        running_stack(logs_to, policy_text=quick_policy_text()) as stack,
    ):
        stack.restart("inventory-api", RATE_LIMIT_PER_S="1000000")
        below = floors(stack, pool, fill(stack.url("inventory-api"), SKUS))
        print(below.told(), flush=True)
        for phase in planned:
            with profiled(stack, results / f"load-{phase.name}.profile.txt", wished=profile):
                seen = play(phase, stack, pool, kinds(SKUS))
            row = Row.of(seen, list(judged(seen)))
            rows.append(row)
            print(row.told(), flush=True)
            write(results, below, rows)
    return rows


def main() -> int:
    """Measure what the options say; answer 0 when every bound holds, 1 when not, 2 when the options are wrong."""
    parser = argparse.ArgumentParser(prog="load", description="See tests/bench/load.py.")
    parser.add_argument("--phases", default="", help=f"some of {','.join((*SINGLE, *KILLS, *FREEZES))}")
    parser.add_argument(
        "--freezes", action="store_true", help="freeze each dependency too, beside killing it"
    )
    parser.add_argument("--profile", action="store_true", help="sample inventory-api by py-spy in each phase")
    for name, default in (("steady", STEADY_S), ("burst", BURST_S), ("users", USERS_S), ("soak", SOAK_S)):
        parser.add_argument(
            f"--{name}-s", type=float, default=default, help="seconds, %(default)g by default"
        )
    parser.add_argument(
        "--per-s",
        type=float,
        default=PER_S,
        help="requests each second but in the burst, %(default)g by default",
    )
    parser.add_argument("--down-s", type=float, default=DOWN_S, help="seconds, %(default)g by default")
    wished, _ = parser.parse_known_args()
    unknown = set(filter(None, wished.phases.split(","))) - {*SINGLE, *KILLS, *FREEZES}
    if unknown:
        print(f"load: no phase {', '.join(sorted(unknown))}; `--help` lists them", file=sys.stderr)
        return USAGE
    if wished.per_s < 1:
        print("load: at least 1 request each second", file=sys.stderr)
        return USAGE
    if min(wished.steady_s, wished.burst_s, wished.users_s, wished.soak_s, wished.down_s) < 1:
        print("load: every phase takes at least 1 second", file=sys.stderr)
        return USAGE
    with tempfile.TemporaryDirectory() as logs:
        rows = run(Path(logs), list(phases(wished)), RESULTS, profile=wished.profile)
    print(f"{RESULTS / 'load.md'}; load average {os.getloadavg()[0]:.1f}")
    return int(not all(row.holds for row in rows))


if __name__ == "__main__":
    sys.exit(main())
