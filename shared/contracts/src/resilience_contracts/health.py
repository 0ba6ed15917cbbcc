"""Words for what was seen of a dependency."""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class Health(StrEnum):
    """The judged state of a dependency."""

    UP = "UP"
    IMPAIRED = "IMPAIRED"
    DOWN = "DOWN"
    UNKNOWN = "UNKNOWN"


class Outcome(StrEnum):
    """The class of one probe's result."""

    miss: float
    """How much of a miss it is: 0, 0.5 (rate limited: capacity, not absence) or 1."""
    counts: bool
    """Whether it says anything about the dependency."""
    hit: bool
    """Whether it says that the dependency answered."""

    def __new__(cls, value: str, miss: float, counts: bool = True) -> Self:
        """Make a member of a row: its value, then its attributes."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.miss = miss
        member.counts = counts
        member.hit = counts and not miss
        return member

    OK = "ok", 0.0
    SLOW = "slow", 0.0
    TIMEOUT = "timeout", 1.0
    REFUSED = "refused", 1.0
    AUTH = "auth", 1.0
    RATE_LIMITED = "rate_limited", 0.5
    SERVER_ERROR = "server_error", 1.0
    PROTOCOL = "protocol", 1.0
    CANCELLED = "cancelled", 0.0, False
    NOT_RUN = "not_run", 0.0, False


class BreakerState(StrEnum):
    """State of a circuit breaker that guards real traffic to a dependency."""

    CLOSED = "CLOSED"
    OPEN = "OPEN"
    HALF_OPEN = "HALF_OPEN"
    FORCED_OPEN = "FORCED_OPEN"
    DISABLED = "DISABLED"
    METRICS_ONLY = "METRICS_ONLY"
