"""One part kept running, with the stand-in for OpenAI as the part."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from resilience_cli.stack import Ended, OpenAI, PartState, Place, Status, free_ports, halt
from resilience_cli.stack.keeper import Keeper
from resilience_cli.stack.marks import Mark, clear_mark, set_mark
from tests.cli.command import until


class Kept:
    """A keeper and everything that it told."""

    def __init__(self, root: Path) -> None:
        self.states: list[PartState] = []
        self.ended: list[Ended] = []
        self.place = Place(root)
        part = OpenAI(self.place, free_ports(1)[0])
        self.keeper = Keeper(
            part, self.place, "OPENAI_PORT", lambda _, s: self.states.append(s), self.ended.append
        )
        self.thread = threading.Thread(target=self.keeper.run)

    def process(self) -> psutil.Process:
        return psutil.Process(self.states[-1].pid)

    def is_ready(self) -> bool:
        return self.states[-1].status is Status.READY


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    kept = Kept(tmp_path)
    kept.keeper.start()
    kept.thread.start()
    yield kept
    kept.keeper.close()
    kept.thread.join()
    if kept.keeper.running:
        halt(kept.keeper.running)


def test_it_tells_how_the_part_is(kept: Kept) -> None:
    assert [state.status for state in kept.states] == [Status.STARTING, Status.READY]


def test_what_ended_by_itself_is_started_again_and_told(kept: Kept) -> None:
    first = kept.process().pid

    kept.process().kill()

    until("another process is ready", lambda: kept.is_ready() and kept.states[-1].pid != first)
    assert [(ended.part, ended.exit_code) for ended in kept.ended] == [("openai", -9)]
    assert kept.states[-1].restarts == 1


def test_what_was_stopped_on_purpose_waits_for_its_mark_to_go(kept: Kept) -> None:
    set_mark(kept.place.root, "openai", Mark.STOPPED)
    kept.process().kill()
    until("it is stopped", lambda: kept.states[-1].status is Status.STOPPED)
    assert kept.ended == []

    clear_mark(kept.place.root, "openai")

    until("it is back", kept.is_ready)
    assert kept.ended == []


def test_a_restart_changes_the_environment(kept: Kept) -> None:
    kept.keeper.restart({"DISABLED_PROBES": "redis"})
    assert kept.process().environ()["DISABLED_PROBES"] == "redis"

    kept.keeper.restart({})
    assert "DISABLED_PROBES" not in kept.process().environ()
    assert kept.ended == []
