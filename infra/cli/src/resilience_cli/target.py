"""Which system a command talks to: the environment's, else the stack that runs here, else default ports."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .stack import StackState, ports_from, read_state
from .stack.ports import Ports

LOOPBACK_URL = "http://127.0.0.1"


def stack_root() -> Path:
    """Return the directory of the stack: RESILIENCE_STACK_DIR, else `.stack` here."""
    return Path(os.environ.get("RESILIENCE_STACK_DIR") or ".stack").resolve()


@dataclass(frozen=True, slots=True)
class Target:
    """Where the running system is."""

    bootstrap: str
    ports: Ports
    scope: str
    state: StackState | None

    def url(self, service: str) -> str:
        """Return where a service's HTTP interface is."""
        return f"{LOOPBACK_URL}:{self.ports[service]}"


def find_target(environment: Mapping[str, str] = os.environ) -> Target:
    """Find the system.

    Raises:
        StackError: a variable or the stack's state is wrong.
    """
    state = read_state(stack_root())
    running = state if state and state.owner.find() else None
    ports = running.ports if running else ports_from(environment)
    bootstrap = environment.get("KAFKA_BOOTSTRAP_SERVERS") or f"127.0.0.1:{ports['kafka']}"
    return Target(bootstrap, ports, environment.get("RESILIENCE_SCOPE") or "default", running)
