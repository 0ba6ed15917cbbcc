"""What the engine reads of a health event. `HealthObserved` has this shape, and so has what is faster to read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from resilience_contracts import BreakerState, Outcome


class Result(Protocol):
    """One probe's result; see `Observation`."""

    @property
    def outcome(self) -> Outcome:
        """Its class."""

    @property
    def latency_ms(self) -> float:
        """How long the probe took."""

    @property
    def at(self) -> datetime:
        """When, with a zone."""


class Probe(Protocol):
    """What a monitor saw last; see `ProbeReport`."""

    @property
    def recent(self) -> Sequence[Result]:
        """The last results, oldest first."""

    @property
    def interval_s(self) -> float:
        """When the next one is due."""


class Breaker(Protocol):
    """What one replica's circuit breaker says; see `BreakerReport`."""

    @property
    def state(self) -> BreakerState:
        """Its state."""

    @property
    def failure_rate(self) -> float | None:
        """0 to 1; None while it cannot say."""

    @property
    def slow_rate(self) -> float | None:
        """Share of calls that took too long, 0 to 1; None while it cannot say."""

    @property
    def interval_s(self) -> float:
        """When the next report is due."""


class Report(Protocol):
    """One observer's view of one dependency; see `HealthObserved`."""

    @property
    def scope(self) -> str:
        """What degrades as a unit."""

    @property
    def dependency(self) -> str:
        """What was observed."""

    @property
    def observer(self) -> str:
        """By whom."""

    @property
    def sequence(self) -> int:
        """Grows with each report of an observer."""

    @property
    def observed_at(self) -> datetime:
        """When, with a zone."""

    @property
    def probe(self) -> Probe | None:
        """A monitor's report, or None."""

    @property
    def breaker(self) -> Breaker | None:
        """A breaker's report, or None."""
