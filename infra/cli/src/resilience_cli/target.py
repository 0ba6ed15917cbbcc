"""Which system a command talks to: the environment's, else the stack that runs here, else default ports."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resilience_contracts import Regions
from resilience_runtime.kafka.access import KafkaAccess
from resilience_runtime.settings import KafkaSettings, load

from .errors import StackError
from .stack import PARTS, PartState, StackState, ports_from, read_state
from .stack.marks import mark_of
from .stack.ports import Ports

LOOPBACK_URL = "http://127.0.0.1"


def stack_root() -> Path:
    """Return the directory of the stack: RESILIENCE_STACK_DIR, else `.stack` here."""
    return Path(os.environ.get("RESILIENCE_STACK_DIR") or ".stack").resolve()


@dataclass(frozen=True, slots=True)
class Target:
    """Where the running system is."""

    kafka: KafkaAccess
    ports: Ports
    scope: str
    state: StackState | None
    regions: Regions

    def url(self, service: str) -> str:
        """Return where a service's HTTP interface is."""
        return f"{LOOPBACK_URL}:{self.ports[service]}"


def find_target() -> Target:
    """Find the system.

    Raises:
        StackError: a variable or the stack's state is wrong.
        SystemExit: a variable about Kafka is wrong; status 2, after a line on stderr.
    """
    state = read_state(stack_root())
    running = state if state and state.owner.find() else None
    ports = running.ports if running else ports_from(os.environ)
    kafka = load(KafkaSettings, **_kafka_here(ports, running)).kafka
    told = {**(running.env if running else {}), **{k: v for k, v in os.environ.items() if v}}
    scope = told.get("RESILIENCE_SCOPE") or "default"
    return Target(kafka, ports, scope, running, _regions(told.get("RESILIENCE_REGIONS", "")))


def _regions(names: str) -> Regions:
    try:
        return Regions.parse(names)
    except ValueError as error:
        raise StackError(f"RESILIENCE_REGIONS: {error}", "correct it, or unset it") from error


def _kafka_here(ports: Ports, running: StackState | None) -> dict[str, str]:
    """Return how to get into the Kafka of the stack, unless the environment names another one."""
    if os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        return {}
    told = running.env.items() if running else ()
    here = {name.lower(): value for name, value in told if name.startswith("KAFKA_")}
    return {"kafka_bootstrap_servers": f"127.0.0.1:{ports['kafka']}"} | here


def parts_of(target: Target) -> dict[str, dict[str, Any]]:
    """Describe the parts of the stack that runs here; empty when none does."""
    if target.state is None:
        return {}
    return {name: _describe(name, part) for name, part in sorted(target.state.parts.items(), key=_order)}


def _describe(name: str, part: PartState) -> dict[str, Any]:
    alive = part.ref.find() is not None
    mark = mark_of(stack_root(), name)
    status = mark.value if mark else part.status.value if alive else "ended"
    return {"status": status, "pid": part.pid, "port": part.port, "restarts": part.restarts}


def _order(item: tuple[str, PartState]) -> int:
    return PARTS.index(item[0]) if item[0] in PARTS else len(PARTS)
