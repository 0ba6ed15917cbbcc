"""The kinds of faults by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from resilience_chaos.proxy import Kind as Network
from resilience_cli.stack import DEPENDENCIES, PARTS, SERVICES

from . import answer, postgresql, process, redis
from .site import Mend

KAFKA_WAYS = tuple(f"kafka:{service}" for service in SERVICES)
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
    "read-only": Kind(postgresql.read_only, ("postgresql",)),
}
