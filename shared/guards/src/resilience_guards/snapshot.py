"""A breaker at one moment, as data."""

from __future__ import annotations

from dataclasses import dataclass

from .state import State


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a breaker knows, read without changing anything.

    Attributes:
        name: of the breaker.
        state: it is in; OPEN lasts until a call asks after the wait, unless `half_open_on_time`.
        era: number of the stay in this state; grows with each.
        since_s: when the era began, on the breaker's clock.
        failure_rate: share of failed calls, 0 to 1; None while too few calls are held to judge.
        slow_rate: share of slow calls, likewise.
        calls: held in the window.
        failed: of those.
        slow: of those; a slow failure counts in both.
        not_permitted: calls refused since the window began.
        permits_free: places left in HALF_OPEN.
        openings: in a row, without closing between.
        retry_after_s: seconds until a call may be let through; 0 when one is let through now.
        refused_total: calls refused since the breaker was made.
        late_total: results dropped because their era was over or their place was given away.
        expired_total: places in HALF_OPEN taken back from calls that never reported.
    """

    name: str
    state: State
    era: int
    since_s: float
    failure_rate: float | None
    slow_rate: float | None
    calls: int
    failed: int
    slow: int
    not_permitted: int
    permits_free: int
    openings: int
    retry_after_s: float
    refused_total: int
    late_total: int
    expired_total: int
