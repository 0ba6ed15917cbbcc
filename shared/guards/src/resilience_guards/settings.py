"""Settings of a circuit breaker, checked when they are made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random


def every_exception_fails(_: BaseException) -> bool:
    """Count every exception as a failure of the dependency."""
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerSettings:
    """When a breaker opens, for how long, and what it counts.

    Attributes:
        window_calls: the last calls that are judged.
        minimum_calls: calls before a rate is judged; never more than the window holds.
        failure_rate: share of failed calls that opens, 0 to 1, inclusive.
        slow_call_s: a call that takes longer is slow.
        slow_rate: share of slow calls that opens, 0 to 1, inclusive.
        open_wait_s: first wait in OPEN; doubles with each re-opening up to `open_wait_cap_s`.
        open_wait_jitter: share by which a wait is lengthened at random, so that replicas do not return at once.
        half_open_permits: calls let through in HALF_OPEN; as many results decide.
        permit_lease_s: a permit whose call never reports is taken back after this.
        call_deadline_s: bound on a guarded call; running into it is a failure. None: no bound.
        is_failure: whether an exception speaks against the dependency; otherwise the call was a success.
    """

    window_calls: int = 100
    minimum_calls: int = 10
    failure_rate: float = 0.5
    slow_call_s: float = 60.0
    slow_rate: float = 1.0
    open_wait_s: float = 5.0
    open_wait_cap_s: float = 60.0
    open_wait_jitter: float = 0.2
    half_open_permits: int = 3
    permit_lease_s: float = 60.0
    call_deadline_s: float | None = None
    is_failure: Callable[[BaseException], bool] = every_exception_fails

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            ValueError: naming the setting and the rule.
        """
        for name in ("window_calls", "minimum_calls", "half_open_permits"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        for name in ("failure_rate", "slow_rate"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} must be above 0 and at most 1")
        for name in ("slow_call_s", "open_wait_s", "permit_lease_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0")
        if self.open_wait_cap_s < self.open_wait_s:
            raise ValueError("open_wait_cap_s must be at least open_wait_s")

    def wait_s(self, openings: int, rng: Random) -> float:
        """Return seconds to stay open at the n-th opening in a row (1 is the first)."""
        doubled = self.open_wait_s * 2.0 ** min(openings - 1, 60)
        return min(doubled, self.open_wait_cap_s) * (1 + self.open_wait_jitter * rng.random())
