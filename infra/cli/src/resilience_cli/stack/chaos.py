"""Real faults in a running stack, from outside the process that keeps it: stop, freeze, bring back."""

from __future__ import annotations

import signal
import time
from contextlib import suppress
from pathlib import Path

import psutil

from resilience_cli.errors import StackError

from .layout import backing_parts, is_secured, services
from .marks import Mark, clear_mark, mark_of, set_mark
from .mirror import MIRROR, Mirror
from .part import NotReadyError, Part, Place
from .process import await_end, freeze, kill, send, thaw, tree
from .sockets import answers
from .standby import STANDBY
from .state import PartState, StackState, Status, read_state

GRACEFUL_TIMEOUT_S = 30.0
RESTORE_TIMEOUT_S = 90.0
POLL_S = 0.1


def stop_part(root: Path, name: str, *, graceful: bool = False) -> str:
    """End a part and keep it ended; return what happened, for people.

    Raises:
        StackError: no stack runs, it has no such part, or the part did not end.
    """
    _, part = _find(root, name)
    set_mark(root, name, Mark.STOPPED)
    process = part.ref.find()
    if process is None:
        return f"{name} was not running"
    number = signal.SIGINT if name in {"postgresql", STANDBY} and graceful else signal.SIGTERM
    if graceful:
        members = tree(process)
        send([process], number)
        thaw(process)
        if await_end(members, GRACEFUL_TIMEOUT_S):
            raise StackError(f"{name} did not end within {GRACEFUL_TIMEOUT_S:g} s", "leave out --graceful")
    else:
        kill(process)
    _await_silence(name, part.port)
    return f"{name} (pid {part.pid}) got {number.name if graceful else 'SIGKILL'}; port {part.port} refuses"


def pause_part(root: Path, name: str) -> str:
    """Freeze a part's whole process tree; return what happened, for people.

    Raises:
        StackError: no stack runs, it has no such part, or the part is not running.
    """
    _, part = _find(root, name)
    process = part.ref.find()
    if process is None:
        raise StackError(f"{name} is not running", f"run `resilience chaos restore {name}` first")
    set_mark(root, name, Mark.PAUSED)
    members = len(tree(process))
    try:
        freeze(process)
    except TimeoutError as error:
        raise StackError(str(error), "try again") from error
    return f"{name} (pid {part.pid}, {members} processes) got SIGSTOP; port {part.port} does not answer"


def restore_part(root: Path, name: str) -> str:
    """Let a part go on, or have it started again; return once it answers.

    Raises:
        StackError: no stack runs, it has no such part, or the part does not come back.
    """
    state, part = _find(root, name)
    began, mark = time.monotonic(), mark_of(root, name)
    process = part.ref.find()
    if process:
        thaw(process)
    clear_mark(root, name)
    _await_answer(root, name, _part(root, state, name))
    done = "was started again" if process is None else "got SIGCONT" if mark else "was running"
    return f"{name} {done} and answers after {time.monotonic() - began:.1f} s"


def running_state(root: Path) -> StackState:
    """Return the state of the stack that runs in a directory.

    Raises:
        StackError: none does.
    """
    state = read_state(root)
    if state is None or state.owner.find() is None:
        raise StackError(f"no stack runs in {root}", "start it with `resilience up`")
    return state


def _find(root: Path, name: str) -> tuple[StackState, PartState]:
    state = running_state(root)
    if name not in state.parts:
        raise StackError(f"there is no part {name} in this stack", f"take one of {', '.join(state.parts)}")
    return state, state.parts[name]


def _part(root: Path, state: StackState, name: str) -> Part:
    place, secured = Place(root), is_secured(state.env)
    parts = backing_parts(place, state.ports, secured) | services(place, state.ports, state.env)
    return ({MIRROR: Mirror(place, "", {})} | parts)[name]


def _await_silence(name: str, port: int) -> None:
    deadline = time.monotonic() + GRACEFUL_TIMEOUT_S
    while answers(port):
        if time.monotonic() > deadline:
            raise StackError(
                f"{name} is dead but port {port} still accepts", "see who listens: `resilience doctor`"
            )
        time.sleep(POLL_S)


def _await_answer(root: Path, name: str, part: Part) -> None:
    deadline = time.monotonic() + RESTORE_TIMEOUT_S
    reason = "it was not started"
    while time.monotonic() < deadline:
        now = running_state(root).parts[name]
        alive = now.ref.find()
        with suppress(psutil.NoSuchProcess):
            if alive and now.status is Status.READY:
                try:
                    part.talk()
                except NotReadyError as error:
                    reason = str(error)
                else:
                    return
        time.sleep(POLL_S)
    raise StackError(f"{name} does not come back ({reason})", f"read {Place(root).log(name)}")
