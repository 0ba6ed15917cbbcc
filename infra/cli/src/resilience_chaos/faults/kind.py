"""The kinds of faults by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from resilience_chaos.proxy import Kind as Network
from resilience_cli.stack import DEPENDENCIES, PARTS, SERVICES

from . import answer, disk, kafka, postgresql, process, redis
from .site import Mend, Site

KAFKA_WAYS = tuple(f"kafka:{service}" for service in SERVICES)
OURS = tuple(part for part in PARTS if part != "postgresql")
"""Parts that run as the user who started the stack, root or not, and may so be limited."""
ON_THE_NETWORK = (*DEPENDENCIES, "kafka", *KAFKA_WAYS)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault.

    `make(site, part, **options)` makes it and returns what mends it; it returns when the fault is there.
    """

    make: Callable[..., Mend]
    parts: tuple[str, ...]
    options: frozenset[str] = frozenset()
    needed: frozenset[str] = frozenset()
    proxies: bool = False
    """It needs a stack with proxies, for every part but OpenAI where the stand-in takes the order."""
    check: Callable[[Site, str], None] = lambda _site, _part: None
    """Raises StackError when it cannot be done to that part of this stack."""


def _network(kind: Network, *options: str, needed: tuple[str, ...] = ()) -> Kind:
    return Kind(
        partial(answer.network, kind),
        ON_THE_NETWORK,
        frozenset({*options, *needed, "period_s"}),
        frozenset(needed),
        proxies=True,
    )


STATUS = frozenset({"status"})
KINDS = {
    "kill": Kind(process.kill, PARTS),
    "freeze": Kind(process.pause, PARTS),
    "stop": Kind(process.stop, PARTS),
    "starve": Kind(process.starve, PARTS, frozenset({"share"})),
    "memory-limit": Kind(process.limit_memory, OURS, frozenset({"spare_mb"})),
    "clock": Kind(process.clock, SERVICES, frozenset({"step_s"}), frozenset({"step_s"}), proxies=True),
    "latency": _network(Network.LATENCY, "delay_ms", "jitter_ms", "growth_ms_per_s"),
    "bandwidth": _network(Network.BANDWIDTH, needed=("bytes_per_s",)),
    "reset": _network(Network.RESET),
    "blackhole": _network(Network.BLACKHOLE),
    "half-open": _network(Network.HALF_OPEN),
    "cut": _network(Network.CUT, needed=("after_bytes",)),
    "garble": _network(Network.GARBLE),
    "expired": Kind(
        partial(answer.network, Network.EXPIRED), ("openai",), frozenset({"period_s"}), proxies=True
    ),
    "status": Kind(answer.status, ("openai", "s3"), STATUS | {"retry_after_s", "fail_ratio"}, STATUS),
    "malformed": Kind(partial(answer.openai, malformed=True), ("openai",)),
    "slow": Kind(answer.openai, ("openai",), frozenset({"latency_ms"}), frozenset({"latency_ms"})),
    "auth": Kind(
        lambda site, part: {"redis": redis, "postgresql": postgresql}[part].auth(site, part),
        ("redis", "postgresql"),
    ),
    "connections": Kind(
        lambda site, part: {"redis": redis, "postgresql": postgresql}[part].connections(site, part),
        ("redis", "postgresql"),
    ),
    "memory": Kind(redis.memory, ("redis",)),
    "disk-full": Kind(disk.full, ("postgresql", "kafka"), check=disk.require_small_disk),
    "leader-lost": Kind(
        kafka.lose_leader, ("kafka",), frozenset({"topic"}), frozenset({"topic"}), check=kafka.require_brokers
    ),
    "read-only": Kind(postgresql.read_only, ("postgresql",)),
}
