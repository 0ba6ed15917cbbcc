"""Ports on loopback."""

from __future__ import annotations

import random
import socket

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


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on now, all different."""
    found: list[int] = []
    for port in random.SystemRandom().sample(PRIVATE_PORTS, k=len(PRIVATE_PORTS)):
        if len(found) == count:
            break
        if is_free(port):
            found.append(port)
    return found
