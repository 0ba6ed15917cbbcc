"""What this machine and this stack need, looked at one by one, each finding with its remedy."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import psutil

from .errors import StackError
from .stack import PARTS, Place, Ports, PostgreSQL, StackState, read_state, variable_of
from .stack.jars import is_fetched
from .stack.java import find_java, java_major
from .stack.process import name_of, owned_by
from .stack.redis import server_binary
from .stack.runner import require_free

DISK_NEEDED_GB = 2
MEMORY_NEEDED_GB = 2
GIGABYTE = 1024**3


class Verdict(StrEnum):
    """How a finding is."""

    OK = "OK"
    NOTE = "NOTE"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `remedy` is empty when there is nothing to do."""

    subject: str
    verdict: Verdict
    detail: str
    remedy: str = ""


def examine(root: Path, ports: Ports) -> Iterator[Finding]:
    """Look at everything; give each finding as soon as it is there."""
    checks: dict[str, Callable[[], Finding | str]] = {
        "java": lambda: f"{find_java()} (version {java_major(find_java())})",
        "kafka jars": _jars,
        "postgresql": lambda: PostgreSQL(Place(root), ports["postgresql"]).installed(),
        "redis": server_binary,
        "disk": lambda: _disk(root),
        "memory": _memory,
        "stack directory": lambda: _writable(root),
        "stack": lambda: _stack(root),
        "database files": lambda: _database(root, ports),
    }
    for subject, check in checks.items():
        yield _look(subject, check)
    yield from _ports(root, ports)


def _look(subject: str, check: Callable[[], Finding | str]) -> Finding:
    try:
        found = check()
    except StackError as error:
        return Finding(subject, Verdict.FAIL, error.message, error.remedy)
    return found if isinstance(found, Finding) else Finding(subject, Verdict.OK, found)


def _jars() -> Finding | str:
    if is_fetched():
        return "fetched; a start needs no network"
    return Finding(
        "kafka jars", Verdict.NOTE, "not fetched yet", "the first `resilience up` needs the network"
    )


def _disk(root: Path) -> str:
    there = next(folder for folder in (root, *root.parents) if folder.exists())
    free = shutil.disk_usage(there).free / GIGABYTE
    if free < DISK_NEEDED_GB:
        raise StackError(
            f"{free:.1f} GB are free at {there}",
            f"free {DISK_NEEDED_GB} GB, or move it with RESILIENCE_STACK_DIR",
        )
    return f"{free:.0f} GB free"


def _memory() -> str:
    free = psutil.virtual_memory().available / GIGABYTE
    if free < MEMORY_NEEDED_GB:
        raise StackError(
            f"{free:.1f} GB of memory are free", f"the stack needs {MEMORY_NEEDED_GB} GB: end something"
        )
    return f"{free:.0f} GB available"


def _writable(root: Path) -> str:
    try:
        root.mkdir(parents=True, exist_ok=True)
        probe = root / ".doctor"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise StackError(
            f"{root} cannot be written ({error.strerror})", "set RESILIENCE_STACK_DIR to a directory of yours"
        ) from error
    return str(root)


def _stack(root: Path) -> Finding | str:
    state = read_state(root)
    if state and state.owner.find():
        dead = [name for name, part in state.parts.items() if not part.ref.find()]
        return f"runs (pid {state.owner_pid})" + (f"; down: {', '.join(dead)}" if dead else "")
    left = owned_by(root)
    if left:
        names = ", ".join(f"{name_of(process)} (pid {process.pid})" for process in left)
        raise StackError(f"left by a killed stack: {names}", "run `resilience down`")
    return "does not run"


def _database(root: Path, ports: Ports) -> str:
    database = PostgreSQL(Place(root), ports["postgresql"])
    if not database.has_data():
        return "none yet"
    database.check_data()
    return "there"


def _ports(root: Path, ports: Ports) -> Iterator[Finding]:
    try:
        state = read_state(root)
    except StackError:
        state = None
    for name, port in ports.items():
        if _is_ours(state, name):
            continue
        yield _look(f"port {port}", lambda name=name, port=port: _free(name, port))  # type: ignore[misc]


def _is_ours(state: StackState | None, port_name: str) -> bool:
    part = next((part for part in PARTS if port_name.startswith(part)), port_name)
    return bool(state and state.owner.find() and part in state.parts)


def _free(name: str, port: int) -> str:
    require_free(port, variable_of(name))
    return f"free for {name}"
