"""Words for what was seen of a dependency."""

from __future__ import annotations

from enum import StrEnum


class Health(StrEnum):
    """The judged state of a dependency."""

    UP = "UP"
    IMPAIRED = "IMPAIRED"
    DOWN = "DOWN"
    UNKNOWN = "UNKNOWN"


class Outcome(StrEnum):
    """The class of one probe's result."""

    OK = "ok"
    SLOW = "slow"
    TIMEOUT = "timeout"
    REFUSED = "refused"
    AUTH = "auth"
    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    PROTOCOL = "protocol"
    CANCELLED = "cancelled"
    NOT_RUN = "not_run"

    @property
    def miss(self) -> float:
        """How much of a miss this result is: 0, 0.5 (rate limited: capacity, not absence) or 1."""
        return MISS[self]

    @property
    def counts(self) -> bool:
        """Whether this result says anything about the dependency."""
        return self not in {Outcome.CANCELLED, Outcome.NOT_RUN}


MISS: dict[Outcome, float] = {
    Outcome.OK: 0.0,
    Outcome.SLOW: 0.0,
    Outcome.TIMEOUT: 1.0,
    Outcome.REFUSED: 1.0,
    Outcome.AUTH: 1.0,
    Outcome.RATE_LIMITED: 0.5,
    Outcome.SERVER_ERROR: 1.0,
    Outcome.PROTOCOL: 1.0,
    Outcome.CANCELLED: 0.0,
    Outcome.NOT_RUN: 0.0,
}


class BreakerState(StrEnum):
    """State of a circuit breaker that guards real traffic to a dependency."""

    CLOSED = "CLOSED"
    OPEN = "OPEN"
    HALF_OPEN = "HALF_OPEN"
    FORCED_OPEN = "FORCED_OPEN"
    DISABLED = "DISABLED"
    METRICS_ONLY = "METRICS_ONLY"
