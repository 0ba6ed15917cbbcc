"""Which system a command talks to: the environment's, else the stack that runs here, else default ports."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from resilience_contracts import Regions
from resilience_runtime.kafka.access import KafkaAccess
from resilience_runtime.settings import KafkaSettings, load

from .errors import StackError
from .stack import PARTS, STANDBY, PartState, Place, PostgreSQL, StackState, ports_from, read_state
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


def database_url() -> str:
    """Return the address of the stock database: DATABASE_URL, else the stack's here.

    Raises:
        StackError: neither is there, or DATABASE_URL is no address.
    """
    given = os.environ.get("DATABASE_URL")
    if given:
        return _checked(given, "DATABASE_URL")
    place = Place(stack_root())
    if not place.secret("postgresql.password").exists():
        raise StackError("no database is known here", "start the stack, or set DATABASE_URL")
    return PostgreSQL(place, find_target().ports["postgresql"]).url


def standby_url() -> str | None:
    """Return the address of the server that follows the database; None without one.

    Raises:
        StackError: STANDBY_URL is no address.
    """
    given = os.environ.get("STANDBY_URL")
    if given:
        return _checked(given, "STANDBY_URL")
    ports = find_target().ports
    if os.environ.get("DATABASE_URL") or STANDBY not in ports:
        return None
    return PostgreSQL(Place(stack_root()), ports[STANDBY]).url


def _checked(url: str, what: str) -> str:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - reading it is the check
        good = parts.scheme in {"postgresql", "postgres"} and len(parts.path) > 1
    except ValueError:
        good = False
    if not good:
        raise StackError(f"{what} is no address of a database", "write it as postgresql://user@host/name")
    return url


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
