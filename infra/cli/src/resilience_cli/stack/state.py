"""`.stack/stack.json`: which processes a stack runs, for other commands and for the next start."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from resilience_cli.errors import StackError

from .process import ProcessRef

SCHEMA_VERSION = 1


class Status(StrEnum):
    """How a part is, as the process that keeps it knows."""

    STARTING = "starting"
    READY = "ready"
    STOPPED = "stopped"
    RESTARTING = "restarting"


class PartState(BaseModel):
    """A part and the process that runs it."""

    model_config = ConfigDict(frozen=True)

    pid: int
    create_time: float
    port: int
    status: Status
    restarts: int = 0

    @property
    def ref(self) -> ProcessRef:
        """The process."""
        return ProcessRef(self.pid, self.create_time)


class StackState(BaseModel):
    """What runs, as it was last written."""

    model_config = ConfigDict(frozen=True)

    schema_version: int = SCHEMA_VERSION
    owner_pid: int
    owner_create_time: float
    started_at: float
    ready: bool = False
    ports: dict[str, int]
    env: dict[str, str]
    parts: dict[str, PartState] = {}

    @property
    def owner(self) -> ProcessRef:
        """The process of `resilience up`."""
        return ProcessRef(self.owner_pid, self.owner_create_time)

    @classmethod
    def new(cls, ports: dict[str, int], env: dict[str, str]) -> StackState:
        """Describe a stack that this process is about to start."""
        me = ProcessRef.of(os.getpid())
        return cls(
            owner_pid=me.pid, owner_create_time=me.create_time, started_at=time.time(), ports=ports, env=env
        )


def state_file(root: Path) -> Path:
    """Return where a stack's state is written."""
    return root / "stack.json"


def read_state(root: Path) -> StackState | None:
    """Return what a stack wrote, or None when there is nothing.

    Raises:
        StackError: there is something that cannot be read.
    """
    path = state_file(root)
    try:
        state = StackState.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise _damaged(path) from error
    if state.schema_version != SCHEMA_VERSION:
        raise _damaged(path)
    return state


def write_state(root: Path, state: StackState) -> None:
    """Write the state whole or not at all, for its owner's eyes: it holds passwords."""
    fresh = state_file(root).with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_text(state.model_dump_json(indent=2), encoding="utf-8")
    fresh.replace(state_file(root))


@contextmanager
def owned(root: Path) -> Iterator[bool]:
    """Own the stack of a directory while inside; gives False when another process does.

    The system takes the lock back from a process that was killed.
    """
    root.mkdir(parents=True, exist_ok=True)
    with (root / "lock").open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _damaged(path: Path) -> StackError:
    return StackError(
        f"{path} is damaged",
        "run `resilience down`, which ends what is left of the stack and removes it",
    )
