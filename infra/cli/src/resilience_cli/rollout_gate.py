"""Does a roll-out make anything worse? A pure judgement over readings of the running system."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from resilience_contracts import Level

ERROR_BUDGET = 0.001
MOST_BURN = 14.4
"""Both as the alert AvailabilityBudgetBurnsFast has them."""
FEWEST_FAILED = 5
"""Fewer failed requests are no trend, whatever share of a quiet shop's they are."""
SILENT_READINGS = 3
COUNTED_FOR_EVER = "11_no_deadlocks"
"""An audit that counts what once was; all others find what is."""


@dataclass(frozen=True, slots=True)
class Requests:
    """Requests of some time; `failed` were answered with 5xx."""

    total: float = 0.0
    failed: float = 0.0

    @property
    def burn(self) -> float:
        """How many times as fast as the budget allows they failed."""
        return self.failed / self.total / ERROR_BUDGET if self.total else 0.0

    def __add__(self, other: Requests) -> Requests:
        return Requests(self.total + other.total, self.failed + other.failed)

    def __sub__(self, other: Requests) -> Requests:
        return Requests(self.total - other.total, self.failed - other.failed)


@dataclass(frozen=True, slots=True)
class Reading:
    """What one look saw; what did not answer is absent, and named in `silent`."""

    level: Level | None = None
    stale: bool = False
    requests: Mapping[str, Requests] = field(default_factory=dict)
    """By replica, since it began."""
    violations: Mapping[str, float] = field(default_factory=dict)
    """What contradicts an invariant, by audit."""
    silent: frozenset[str] = frozenset()


def unfit(first: Reading) -> str | None:
    """Say why this is no state to begin a roll-out in; None when it is one.

    From there nobody could tell what a new version makes worse, and `Gate` would take it for the measure.
    """
    if first.stale:
        return "the level is stale: nobody judges"
    if first.level is not None and first.level > Level.OPTIMAL:
        return f"the level is {first.level.name} already"
    for audit, number in sorted(first.violations.items()):
        if number > 0 and audit != COUNTED_FOR_EVER:
            return f"the audit {audit} finds {number:.0f} contradictions already"
    return None


class Gate:
    """Compares each reading with the first one. What was bad already stops nothing; what gets worse does."""

    def __init__(self, first: Reading) -> None:
        self._first = first
        self._before = dict(first.requests)
        self._violations = dict(first.violations)
        self._silences: dict[str, int] = {}
        self._since: dict[str, Requests] = {}
        self.level = first.level

    @property
    def requests(self) -> Requests:
        """Those of all replicas since the beginning."""
        return sum(self._since.values(), start=Requests())

    def worse(self, reading: Reading) -> str | None:
        """Take a reading; say in what the system is worse than at the beginning, if it is."""
        self._count(reading)
        return self._silence(reading) or self._worse_level(reading) or self._budget() or self._audits(reading)

    def _count(self, reading: Reading) -> None:
        for replica, now in reading.requests.items():
            before = self._before.get(replica, Requests())
            if now.total < before.total:
                before = Requests()  # it was restarted, and counts anew
            self._since[replica] = self._since.get(replica, Requests()) + (now - before)
            self._before[replica] = now

    def _silence(self, reading: Reading) -> str | None:
        self._silences = {name: self._silences.get(name, 0) + 1 for name in sorted(reading.silent)}
        gone = next((name for name, times in self._silences.items() if times >= SILENT_READINGS), None)
        return f"{gone} does not answer" if gone else None

    def _worse_level(self, reading: Reading) -> str | None:
        if reading.level is None:
            return None
        self.level = reading.level
        if reading.stale and not self._first.stale:
            return f"the level {reading.level.name} is stale: nobody judges any more"
        if self._first.level is not None and reading.level > self._first.level:
            return f"the level is {reading.level.name} and was {self._first.level.name}"
        return None

    def _budget(self) -> str | None:
        """A new replica that fails is not hidden by the old ones that take most requests: each is judged, then all."""
        of_each = {f" at {replica}": since for replica, since in sorted(self._since.items())}
        for where, since in {**of_each, "": self.requests}.items():
            if since.failed >= FEWEST_FAILED and since.burn > MOST_BURN:
                return (
                    f"{since.failed:.0f} of {since.total:.0f} requests{where} failed: "
                    f"{since.burn:.0f} times what the error budget allows, more than {MOST_BURN:g}"
                )
        return None

    def _audits(self, reading: Reading) -> str | None:
        for audit, number in sorted(reading.violations.items()):
            before = self._violations.setdefault(audit, number if audit == COUNTED_FOR_EVER else 0.0)
            if number > before:
                return f"the audit {audit} finds {number:.0f} contradictions and found {before:.0f}"
        return None
