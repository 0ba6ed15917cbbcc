"""Settings of a circuit breaker, checked when they are made."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from .state import State
from .window import CallWindow, TimeWindow, Window


def every_exception_fails(_: Exception) -> bool:
    """Count every exception as a failure of the dependency."""
    return True


def no_exception_is_ignored(_: Exception) -> bool:
    """Count every exception for or against the dependency."""
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerSettings:
    """When a breaker opens, for how long, and what it counts.

    Attributes:
        window_calls: the last calls that are judged.
        window_s: when set, the calls of the last so many seconds are judged instead, in buckets of
            `window_bucket_s`. It does not wait for that time to pass.
        minimum_calls: calls from which rates are known; at most `window_calls` when those are judged.
        failure_rate: share of failed calls that opens, 0 to 1, inclusive.
        slow_call_s: a call that takes longer is slow.
        slow_rate: share of slow calls that opens, 0 to 1, inclusive.
        open_wait_s: first wait in OPEN; each re-opening multiplies it by `open_wait_multiplier`, up to
            `open_wait_cap_s`. Closing starts anew.
        open_wait_jitter: share of a wait that is drawn at random, downwards: 0.2 gives 80 to 100 % of it, so
            that replicas do not return at once and the cap holds.
        half_open_on_time: leave OPEN when the wait is over (see `CircuitBreaker.poll`), not at the next call.
        half_open_permits: calls let through in HALF_OPEN in all; the rates of the first
            min(`minimum_calls`, `half_open_permits`) that report decide.
        half_open_limit_s: HALF_OPEN undecided for so long moves to `half_open_limit_to`. None: no limit.
        permit_lease_s: the place of a call in HALF_OPEN that did not report for so long goes to another.
        call_deadline_s: bound on a guarded call; running into it is a failure. None: no bound.
        is_ignored: whether an exception says nothing about the dependency; asked first.
        is_failure: whether an exception speaks against the dependency; otherwise the call was a success.
        is_bad_result: whether a result speaks against the dependency. None: none does.
    """

    window_calls: int = 100
    window_s: float | None = None
    window_bucket_s: float = 1.0
    minimum_calls: int = 10
    failure_rate: float = 0.5
    slow_call_s: float = 60.0
    slow_rate: float = 1.0
    open_wait_s: float = 5.0
    open_wait_multiplier: float = 2.0
    open_wait_cap_s: float = 60.0
    open_wait_jitter: float = 0.2
    half_open_on_time: bool = False
    half_open_permits: int = 3
    half_open_limit_s: float | None = None
    half_open_limit_to: State = State.OPEN
    permit_lease_s: float = 60.0
    call_deadline_s: float | None = None
    is_ignored: Callable[[Exception], bool] = no_exception_is_ignored
    is_failure: Callable[[Exception], bool] = every_exception_fails
    is_bad_result: Callable[[object], bool] | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            ValueError: naming the setting and the rule.
        """
        faults = [f"{name} must be {rule}" for name, holds, rule in _RULES if not holds(getattr(self, name))]
        if self.open_wait_cap_s < self.open_wait_s:
            faults.append("open_wait_cap_s must be at least open_wait_s")
        if faults:
            raise ValueError("; ".join(faults))

    def new_window(self) -> Window:
        """Make an empty window for CLOSED or METRICS_ONLY."""
        if self.window_s is None:
            return CallWindow(self.window_calls)
        return TimeWindow(math.ceil(self.window_s / self.window_bucket_s), self.window_bucket_s)

    def needed_calls(self, state: State) -> int:
        """Return the number of calls from which the rates of a state's window are known."""
        if state is State.HALF_OPEN:
            return min(self.minimum_calls, self.half_open_permits)
        return min(self.minimum_calls, self.window_calls) if self.window_s is None else self.minimum_calls

    def wait_s(self, openings: int, rng: Random) -> float:
        """Return seconds to stay open at the n-th opening in a row (1 is the first)."""
        wait_s = self._grown_wait_s(openings)
        return wait_s * (1 - self.open_wait_jitter * rng.random()) if self.open_wait_jitter else wait_s

    def _grown_wait_s(self, openings: int) -> float:
        # As logarithms, because a power of many openings would overflow.
        growth = (openings - 1) * math.log(self.open_wait_multiplier)
        if growth >= math.log(self.open_wait_cap_s / self.open_wait_s):
            return self.open_wait_cap_s
        return self.open_wait_s * self.open_wait_multiplier ** (openings - 1)


def _at_least_one(value: float) -> bool:
    return value >= 1


def _positive(value: float) -> bool:
    return value > 0


def _positive_or_none(value: float | None) -> bool:
    return value is None or value > 0


def _share(value: float) -> bool:
    return 0 < value <= 1


_RULES: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("window_calls", _at_least_one, "at least 1"),
    ("minimum_calls", _at_least_one, "at least 1"),
    ("half_open_permits", _at_least_one, "at least 1"),
    ("open_wait_multiplier", _at_least_one, "at least 1"),
    ("failure_rate", _share, "above 0 and at most 1"),
    ("slow_rate", _share, "above 0 and at most 1"),
    ("open_wait_jitter", lambda value: 0 <= value <= 1, "0 to 1"),
    ("slow_call_s", _positive, "above 0"),
    ("open_wait_s", _positive, "above 0"),
    ("permit_lease_s", _positive, "above 0"),
    ("window_bucket_s", _positive, "above 0"),
    ("window_s", _positive_or_none, "above 0, or None"),
    ("half_open_limit_s", _positive_or_none, "above 0, or None"),
    ("call_deadline_s", _positive_or_none, "above 0, or None"),
    ("half_open_limit_to", {State.OPEN, State.CLOSED}.__contains__, "OPEN or CLOSED"),
)
