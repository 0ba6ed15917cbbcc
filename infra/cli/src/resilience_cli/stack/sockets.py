"""Ports on loopback."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from functools import cache
from itertools import cycle, islice

LOOPBACK = "127.0.0.1"
# Below the range from which systems take the ports of outgoing connections, so that a part that was stopped
# finds its port again when it comes back.
PRIVATE_PORTS = range(20_000, 32_000)


def answers(port: int, timeout_s: float = 0.5) -> bool:
    """Tell whether something accepts connections on a port."""
    try:
        socket.create_connection((LOOPBACK, port), timeout_s).close()
    except OSError:
        return False
    return True


def is_free(port: int) -> bool:
    """Tell whether a port can be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


@cache
def _in_turn(ports: range) -> Iterator[int]:
    return cycle(random.SystemRandom().sample(ports, k=len(ports)))


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on now, all different.

    One process is given none of them again before it was given all others: a part may take its time until it
    listens.
    """
    candidates = islice(_in_turn(PRIVATE_PORTS), len(PRIVATE_PORTS))
    return list(islice(filter(is_free, candidates), count))
