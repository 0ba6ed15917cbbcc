"""One, two and three processes of the inventory API: what each costs at rest, and what a request costs of each part.

The same 300 requests each second, shared out evenly, in the mix of `load_mix` without pictures and the assistant; each
process over one PostgreSQL, Redis and Kafka. Clients have a core of their own, so that all processes share the other
one: more of them cannot answer more here, and what is to be seen is what each adds. CPU in milliseconds for each
request answered, and in thousandths of a core at rest. Bound: the request of three processes costs at most 1.5 times
that of one.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import asyncpg
import psutil

from resilience_cli.stack import read_state
from resilience_cli.stack.process import tree
from tests.bench.inventory_client import Answer, Plan, client, drive
from tests.bench.inventory_kills import RATE
from tests.bench.inventory_replicas import Shop, running_shop
from tests.bench.load_mix import fill, kinds
from tests.bench.table import row_of

REPLICAS = (1, 2, 3)
PER_S, SECONDS, WARM_S, REST_S, CONNECTIONS, SKUS = 300, 15.0, 5.0, 10.0, 100, 50
RATIO_BOUND = 1.5
NEED_MORE_PARTS = {"image", "assistant"}
MEGABYTE = 1024 * 1024
RESULT = Path(".stack/bench/inventory_scale.json")


@dataclass(frozen=True)
class Cost:
    """What so many processes cost. Memory is of one process, the rest of all together.

    `served` is the share of requests that were; a refusal costs next to nothing, so that the rest says little below 1.
    """

    replicas: int
    served: float
    p50_ms: float
    p99_ms: float
    api_cpu_ms: float
    postgresql_cpu_ms: float
    redis_cpu_ms: float
    kafka_cpu_ms: float
    rest_api_millicores: float
    rest_postgresql_millicores: float
    rss_mb: float
    database_connections: int


class Meter:
    """CPU time of the processes of the API, and of what is under them."""

    def __init__(self, shop: Shop) -> None:
        state = read_state(shop.stack.root)
        assert state
        self._roots = {
            part: [psutil.Process(state.parts[part].pid)]
            for part in ("postgresql", "redis", "kafka", "inventory-api")
        }
        self._roots["inventory-api"] += [psutil.Process(replica.pid) for replica in shop.replicas]

    def cpu_s(self, part: str) -> float:
        """Return what a part has used until now; processes that ended are not in it."""
        return sum(sum(each.cpu_times()[:2]) for root in self._roots[part] for each in tree(root))

    def rss_mb(self) -> float:
        """Return the memory of one process of the API."""
        processes = self._roots["inventory-api"]
        return sum(each.memory_info().rss for each in processes) / len(processes) / MEGABYTE

    def used(self, seconds: float) -> dict[str, float]:
        """Return the CPU seconds of each part in so many from now on."""
        before = {part: self.cpu_s(part) for part in self._roots}
        time.sleep(seconds)
        return {part: self.cpu_s(part) - before[part] for part in self._roots}


def measure(replicas: int, logs_to: Path) -> Cost:
    """Measure so many processes."""
    mix = [kind for kind in kinds(SKUS) if kind.name not in NEED_MORE_PARTS]
    with ExitStack() as stack:
        pools = [stack.enter_context(client()) for _ in range(replicas)]
        shop = stack.enter_context(running_shop(logs_to, replicas, **RATE))
        fill(shop.urls[0], SKUS, image=False)
        ports = [int(url.rpartition(":")[2]) for url in shop.urls]
        meter = Meter(shop)
        resting = meter.used(REST_S)
        plans = [Plan(port, mix, WARM_S + SECONDS, CONNECTIONS, PER_S / replicas) for port in ports]
        running = [pool.submit(drive, plan) for pool, plan in zip(pools, plans, strict=True)]
        time.sleep(WARM_S)
        used = meter.used(SECONDS)
        seen = [kind for each in running for kind in each.result()[0].values()]
        took_s = sorted(took for kind in seen for took in kind.took_s)
        answers = Counter(answer for kind in seen for answer in kind.answers)
        a_request = {part: cpu_s / (PER_S * SECONDS) * 1000 for part, cpu_s in used.items()}
        return Cost(
            replicas=replicas,
            served=answers[Answer.SERVED] / answers.total(),
            p50_ms=took_s[len(took_s) // 2] * 1000,
            p99_ms=took_s[len(took_s) * 99 // 100] * 1000,
            api_cpu_ms=a_request["inventory-api"],
            postgresql_cpu_ms=a_request["postgresql"],
            redis_cpu_ms=a_request["redis"],
            kafka_cpu_ms=a_request["kafka"],
            rest_api_millicores=resting["inventory-api"] / REST_S * 1000,
            rest_postgresql_millicores=resting["postgresql"] / REST_S * 1000,
            rss_mb=meter.rss_mb(),
            database_connections=asyncio.run(_connections(shop.database_url)),
        )


async def _connections(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        asked = "SELECT count(*) - 1 FROM pg_stat_activity WHERE backend_type = 'client backend'"
        return int(await connection.fetchval(asked))
    finally:
        await connection.close()


def main() -> int:
    """Measure each number of processes; answer 1 when a request of many costs too much more than that of one."""
    costs = []
    print("| " + " | ".join(Cost.__annotations__) + " |\n" + "|---" * len(Cost.__annotations__) + "|")
    for replicas in REPLICAS:
        with tempfile.TemporaryDirectory() as logs:
            costs.append(measure(replicas, Path(logs)))
        print(row_of(asdict(costs[-1]).values()), flush=True)
    print(f"load average {os.getloadavg()[0]:.1f}")
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps([asdict(cost) for cost in costs], indent=1), encoding="utf-8")
    return int(_all(costs[-1]) > RATIO_BOUND * _all(costs[0]))


def _all(cost: Cost) -> float:
    return cost.api_cpu_ms + cost.postgresql_cpu_ms + cost.redis_cpu_ms + cost.kafka_cpu_ms


if __name__ == "__main__":
    sys.exit(main())
