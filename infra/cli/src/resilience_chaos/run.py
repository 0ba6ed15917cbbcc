"""Experiments run by Chaos Toolkit, one after the other."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaoslib.exceptions import ChaosException
from chaoslib.experiment import ensure_experiment_is_valid, run_experiment

from resilience_cli.errors import StackError

from .experiment import experiment_of
from .faults import KINDS, Site
from .record import Record
from .session import take_session
from .table import Row

CLASS_NAMES = re.compile(r"^(?:\w+(?:\.\w+)+: )+")
"""What Python puts before the words of an error, once for each that it went through."""
SETTINGS = {"runtime": {"rollbacks": {"strategy": "always"}}}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an experiment ended: `broken` says what was not as it should be, and is empty when all was."""

    row: Row
    experiment: dict[str, Any]
    journal: dict[str, Any]
    record: Record
    broken: tuple[str, ...]
    took_s: float

    @property
    def passed(self) -> bool:
        """Whether all was as it should be."""
        return not self.broken


def require_possible(rows: Sequence[Row], root: Path) -> None:
    """Check, before anything is broken, that these experiments can be made here.

    Raises:
        StackError: no stack runs, or it lacks what one of them needs.
    """
    site = Site.at(root)
    lacking = [row.name for row in rows if row.needs_proxies]
    if lacking and not site.has_proxies:
        raise StackError(
            f"{len(lacking)} of {len(rows)} experiments need a network that can fail, the first is {lacking[0]}",
            "start the stack with `resilience up --proxies`",
        )
    absent = sorted({part.partition(":")[0] for row in rows for part in row.parts} - set(site.state.parts))
    if absent:
        raise StackError(f"this stack runs without {absent[0]}", "start it whole, with `resilience up`")
    for fault in (fault for row in rows for fault in row.faults):
        KINDS[fault.kind].check(site, fault.part)


def run_all(rows: Sequence[Row], root: Path) -> Iterator[Outcome]:
    """Run experiments in a stack; give each outcome as soon as it is there.

    Raises:
        StackError: an experiment is none, or somebody interrupted it; what it broke is mended.
    """
    _quieten()
    for row in rows:
        yield run_one(row, root)


def run_one(row: Row, root: Path) -> Outcome:
    """Run one experiment in a stack; whatever it breaks is mended when this returns.

    Raises:
        StackError: it is none, or somebody interrupted it.
    """
    began_s, experiment = time.monotonic(), experiment_of(row, root)
    try:
        ensure_experiment_is_valid(experiment)
        journal = run_experiment(experiment, settings=SETTINGS)
    except ChaosException as error:
        raise StackError(f"{row.name} cannot be run ({error})", "correct its row in the table") from error
    finally:
        done = take_session(root)
        if done and not done.ended:
            done.end()  # whatever ended the toolkit kept it from doing so
    if journal["status"] == "interrupted" or "InterruptExecution" in str(journal):
        raise StackError(f"{row.name} was interrupted; what it broke is mended", "run it again")
    record = done.watch.record if done and done.watch else Record(row.name)
    return Outcome(row, experiment, journal, record, tuple(_broken(journal)), time.monotonic() - began_s)


def _broken(journal: dict[str, Any]) -> Iterator[str]:
    """Read from a journal what was not as it should be, each thing once."""
    told: set[str] = set()
    before = journal["steady_states"].get("before") or {"probes": []}
    after = journal["steady_states"].get("after") or {"probes": []}
    for when, state in (("before", before), ("after", after)):
        for probe in state["probes"]:
            if not probe.get("tolerance_met"):
                output = probe.get("output")
                text = (
                    output
                    if isinstance(output, str)
                    else _reason(probe) or f"it is not so that {_name(probe)}"
                )
                told.add(text)
                yield f"{when}: {text}"
    for activity in (*journal["run"], *journal.get("rollbacks", ())):
        if activity["status"] != "succeeded":
            text = _reason(activity)
            if not any(text in each or each in text for each in told):
                told.add(text)
                yield f"{_name(activity)}: {text}"


def _name(activity: dict[str, Any]) -> str:
    return str(activity["activity"]["name"])


def _reason(activity: dict[str, Any]) -> str:
    lines = activity.get("exception") or []
    last = " ".join("".join(lines[-1:]).split()) if isinstance(lines, list) else str(lines)
    return CLASS_NAMES.sub("", last)


def _quieten() -> None:
    """Let Chaos Toolkit log nothing: the journal says what it did, and the command tells it."""
    logger = logging.getLogger("chaostoolkit")
    logger.propagate = False
    logger.addHandler(logging.NullHandler())
