"""Faults of processes: killed, frozen, stopped in order, starved of the processor."""

from __future__ import annotations

import threading

from resilience_cli.stack import pause_part, restore_part, stop_part
from resilience_cli.stack.process import freeze, thaw, tree

from .site import Mend, Site

SLICE_S = 0.1
DEFAULT_SHARE = 0.1


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


def _ration(site: Site, part: str, share: float, end: threading.Event) -> None:
    process = site.state.parts[part].ref.find()
    while process and process.is_running() and not end.is_set():
        freeze(process)
        end.wait(SLICE_S * (1 - share))
        thaw(process)
        end.wait(SLICE_S * share)
    for member in tree(process) if process else ():
        thaw(member)
