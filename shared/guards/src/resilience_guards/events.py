"""What a breaker tells about itself: each change with the state before it and its cause."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from .state import State


class EventKind(StrEnum):
    """What happened."""

    TRANSITION = "transition"
    RESET = "reset"
    FAILURE_RATE_EXCEEDED = "failure_rate_exceeded"
    SLOW_RATE_EXCEEDED = "slow_rate_exceeded"
    LEASE_EXPIRED = "lease_expired"


class Cause(StrEnum):
    """Why it happened."""

    FAILURE_RATE = "failure_rate"
    SLOW_RATE = "slow_rate"
    PROBES_PASSED = "probes_passed"
    WAIT_OVER = "wait_over"
    HALF_OPEN_LIMIT = "half_open_limit"
    NEVER_REPORTED = "never_reported"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class BreakerEvent:
    """One thing that happened to a breaker; `at_s` is on its monotonic clock, `era` is the one begun or judged."""

    breaker: str
    kind: EventKind
    previous: State
    state: State
    cause: Cause
    era: int
    at_s: float


Listener = Callable[[BreakerEvent], None]
