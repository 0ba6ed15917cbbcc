"""Faults of processes: killed, frozen, stopped in order, starved of the processor, short of memory, a clock stepped."""

from __future__ import annotations

import threading
from contextlib import suppress

import psutil

from resilience_chaos.clock import step_clock
from resilience_cli.errors import StackError
from resilience_cli.stack import Place, pause_part, restore_part, stop_part
from resilience_cli.stack.network import clock_file
from resilience_cli.stack.process import freeze, thaw, tree

from .site import Mend, Site

SLICE_S = 0.1
DEFAULT_SHARE = 0.1
MEGABYTE = 1024 * 1024


def kill(site: Site, part: str) -> Mend:
    """SIGKILL to the whole process tree."""
    stop_part(site.root, part)
    return lambda: restore_part(site.root, part)


def stop(site: Site, part: str) -> Mend:
    """Let it end in order."""
    stop_part(site.root, part, graceful=True)
    return lambda: restore_part(site.root, part)


def pause(site: Site, part: str) -> Mend:
    """SIGSTOP to the whole process tree."""
    pause_part(site.root, part)
    return lambda: restore_part(site.root, part)


def starve(site: Site, part: str, share: float = DEFAULT_SHARE) -> Mend:
    """Let it run for a share of each tenth of a second only, as under a quota of processor time."""
    end = threading.Event()
    thread = threading.Thread(target=_ration, args=(site, part, share, end), name=f"ration of {part}")
    thread.start()

    def feed() -> str:
        end.set()
        thread.join()
        return restore_part(site.root, part)

    return feed


def limit_memory(site: Site, part: str, spare_mb: float = 0) -> Mend:
    """Refuse its processes every allocation beyond what they have and `spare_mb`.

    The limit is RLIMIT_AS, which needs no rights and can be taken away again. That of a control group kills whoever
    goes beyond it, which `kill` shows; under this one an allocation fails, and the program has to cope. What is
    started in its place, should it end, is not limited.
    """
    process = site.state.parts[part].ref.find()
    if process is None:
        raise StackError(f"{part} is not running", f"run `resilience chaos restore {part}` first")
    members = tree(process)
    for member in members:
        _limit(member, member.memory_info().vms + int(spare_mb * MEGABYTE))

    def relieve() -> str:
        for member in members:
            _limit(member, psutil.RLIM_INFINITY)
        return restore_part(site.root, part)

    return relieve


def clock(site: Site, part: str, step_s: float = 0) -> Mend:
    """Step the clock of a service: its date and time, not what it measures intervals with."""
    file = clock_file(Place(site.root), part)
    if not file.exists():
        raise StackError(
            f"the clock of {part} cannot be stepped here", "start the stack with `resilience up --proxies`"
        )
    step_clock(file, step_s)
    return lambda: step_clock(file, 0)


def _limit(process: psutil.Process, most_bytes: int) -> None:
    with suppress(psutil.NoSuchProcess):
        _, hard = process.rlimit(psutil.RLIMIT_AS)
        process.rlimit(psutil.RLIMIT_AS, (most_bytes, hard))


def _ration(site: Site, part: str, share: float, end: threading.Event) -> None:
    process = site.state.parts[part].ref.find()
    while process and process.is_running() and not end.is_set():
        freeze(process)
        end.wait(SLICE_S * (1 - share))
        thaw(process)
        end.wait(SLICE_S * share)
    for member in tree(process) if process else ():
        thaw(member)
