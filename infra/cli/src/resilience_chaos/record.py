"""What an experiment sees, on one clock: levels, calls and what was done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from resilience_contracts import Level

NO_ANSWER = 0
"""The status of a call that got none."""
CONTROL = "live"
"""The call that needs no dependency: what it waits for is the machine's doing."""


@dataclass(frozen=True, slots=True)
class Sight:
    """The level as one consumer told it."""

    consumer: str
    at_s: float
    level: Level
    version: tuple[int, int]
    stale: bool


@dataclass(slots=True)
class Call:
    """One call of a shop. `took_s` counts from when it was due."""

    kind: str
    at_s: float
    took_s: float
    status: int
    code: str = ""
    """The code of the problem, if it was one."""
    key: str = ""
    """The Idempotency-Key of a write, which may be sent again under it."""
    decided: int = NO_ANSWER
    """The status of a write that was sent again until it was decided; else the same."""

    def __post_init__(self) -> None:
        self.decided = self.decided or self.status


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that was done or found; `kind` is fault, mended, settled or broken."""

    at_s: float
    kind: str
    text: str


@dataclass(slots=True)
class Record:
    """Everything seen; times are seconds since the beginning."""

    name: str
    faulted: frozenset[str] = frozenset()
    sights: list[Sight] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    stock: dict[str, Any] = field(default_factory=dict)
    """What was counted when all was well again: `received`, `units` and `reserved`."""

    def last(self, consumer: str) -> Sight | None:
        """Return the newest sight of a consumer."""
        return next((sight for sight in reversed(self.sights) if sight.consumer == consumer), None)

    def broken_s(self) -> float:
        """Return when the last fault was made; 0 before."""
        return max(self._faults_s(), default=0.0)

    def begun_s(self) -> float:
        """Return when the first fault was made; infinite before."""
        return min(self._faults_s(), default=float("inf"))

    def _faults_s(self) -> Iterator[float]:
        return (moment.at_s for moment in self.moments if moment.kind == "fault")
