"""The newest report of one observer about one dependency, reduced to what the score needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from resilience_contracts import BreakerState, Outcome, Policy

from . import score
from .instant import DAY_MS, span_ms, to_ms
from .report import Breaker, Probe, Report, Result

REMEMBERED = 256
OK = Outcome.OK
INTERVAL_FACTOR = 6
"""A report may stretch its interval to so many times the policy's: nobody is believed for hours."""


@dataclass(slots=True)
class Run:
    """The unbroken run of results that a report ends with. Nobody changes it; see `Sighting`."""

    misses: float
    hits: int
    since_ms: int
    auth: bool
    cut: bool
    """Whether the run fills the whole report, so that its true start is not known."""


@dataclass(slots=True)
class Sighting:
    """Nobody changes one: to make a frozen one, for each event, takes three times as long.

    Age is counted from `counted_ms`: when it was seen, or a little later after the engine was away.

    It is fresh for `fresh_ms`, then stale until `stale_ms`, both counted from the same instant.
    """

    seen_ms: int
    sequence: int
    fresh_ms: int
    stale_ms: int
    counted_ms: int

    def newer_than(self, other: Sighting) -> bool:
        """Say whether this one replaces the other; a duplicate does not."""
        return (self.seen_ms, self.sequence) > (other.seen_ms, other.sequence)

    def overdue_ms(self, awake_ms: int = 0) -> int:
        """Return the last instant at which this sighting is fresh.

        Args:
            awake_ms: when monitors came back from silence; the next report is then due counted from there.
        """
        return max(self.counted_ms, awake_ms) + self.fresh_ms

    def silent_ms(self, awake_ms: int = 0) -> int:
        """Return the last instant at which this sighting is not yet silent."""
        return max(self.counted_ms, awake_ms) + self.stale_ms


@dataclass(slots=True)
class ProbeSighting(Sighting):
    """What a monitor saw last: min(C, W), L, and the run that outages are told by.

    `slowness` is how many times its usual the dependency takes while that is worth a warning, else 0.
    """

    presence: float
    latency: float
    run: Run
    slowness: float = 0.0

    def score(self, believed_traffic: float, believed_speed: float = 1.0) -> int:
        """Return the dependency's score in hundredths, as this observer sees it."""
        return score.dependency_score(self.presence, min(self.latency, believed_speed), believed_traffic)


@dataclass(slots=True)
class BreakerSighting(Sighting):
    """What one replica's circuit breaker said last; `traffic` is None when that says nothing.

    `idle_since_ms` is since when it waits in HALF_OPEN without a call to try; `speed` is L as its calls meet it.
    """

    state: BreakerState
    traffic: float | None
    idle_since_ms: int | None
    speed: float = 1.0


def of_probe(
    event: Report,
    report: Probe,
    policy: Policy,
    seen_ms: int,
    *,
    slowness: float = 0.0,
    longest_ms: float | None,
) -> ProbeSighting:
    """Reduce a probe report. Times inside it are held between a day ago and when it was seen.

    Under a warning L is 0: `slowness` of `ProbeSighting` as it applies to this report; `longest_ms` is `longest_hit`.
    """
    fresh_ms, stale_ms = _spans_ms(report, event.dependency, policy)
    objective_ms = policy.dependencies[event.dependency].latency_objective_ms
    if longest_ms is not None and longest_ms <= objective_ms:  # most are: nothing else need be looked at
        presence, latency, run = 1.0, 1.0, _all_hits(report.recent, seen_ms)
    else:
        presence, run = _with_misses(report.recent, seen_ms)
        latency = score.latency([seen.latency_ms for seen in report.recent if seen.outcome.hit], objective_ms)
    return ProbeSighting(
        seen_ms=seen_ms,
        sequence=event.sequence,
        fresh_ms=fresh_ms,
        stale_ms=stale_ms,
        counted_ms=seen_ms,
        presence=presence,
        latency=0.0 if slowness else latency,
        run=run,
        slowness=slowness,
    )


def of_breaker(
    event: Report,
    report: Breaker,
    policy: Policy,
    seen_ms: int,
    before: BreakerSighting | None = None,
) -> BreakerSighting:
    """Reduce a breaker report.

    A breaker that has waited in HALF_OPEN for longer than the promotion dwell meets no traffic: it says nothing
    any more, else a quiet shop could not get better before somebody buys.
    """
    fresh_ms, stale_ms = _spans_ms(report, event.dependency, policy)
    idle_since_ms = _idle_since_ms(report, seen_ms, before)
    idle = idle_since_ms is not None and seen_ms - idle_since_ms >= span_ms(policy.timing.promote_dwell_s)
    return BreakerSighting(
        seen_ms=seen_ms,
        sequence=event.sequence,
        fresh_ms=fresh_ms,
        stale_ms=stale_ms,
        counted_ms=seen_ms,
        state=report.state,
        traffic=None if idle else score.traffic(report),
        idle_since_ms=idle_since_ms,
        speed=score.speed(report),
    )


def _idle_since_ms(report: Breaker, seen_ms: int, before: BreakerSighting | None) -> int | None:
    if report.state is not BreakerState.HALF_OPEN or report.failure_rate is not None:
        return None
    return seen_ms if before is None or before.idle_since_ms is None else before.idle_since_ms


def _spans_ms(report: Probe | Breaker, dependency: str, policy: Policy) -> tuple[int, int]:
    timing = policy.timing
    interval_s = policy.dependencies[dependency].interval_s
    return _spans(report.interval_s, interval_s, timing.fresh_intervals, timing.stale_intervals)


@lru_cache(maxsize=REMEMBERED)
def _spans(reported_s: float, interval_s: float, fresh: float, stale: float) -> tuple[int, int]:
    interval_ms = max(1, span_ms(min(reported_s, INTERVAL_FACTOR * interval_s)))
    return round(interval_ms * fresh), round(interval_ms * stale)


def longest_hit(recent: Sequence[Result]) -> float | None:
    """Return the longest latency, in milliseconds, of results that are all hits; None where one is not."""
    longest_ms = 0.0
    for seen in recent:
        if seen.outcome is not OK and not seen.outcome.hit:
            return None
        if seen.latency_ms > longest_ms:  # noqa: PLR1730 - a call of `max` takes three times as long
            longest_ms = seen.latency_ms
    return longest_ms


def _all_hits(recent: Sequence[Result], seen_ms: int) -> Run:
    hits = len(recent)
    return Run(0.0, hits, _within(recent[0], seen_ms), auth=False, cut=hits >= score.WINDOW)


def _with_misses(recent: Sequence[Result], seen_ms: int) -> tuple[float, Run]:
    counted = [seen for seen in recent if seen.outcome.counts]
    misses = [seen.outcome.miss for seen in counted]
    presence = min(score.consecutive(score.trailing_misses(misses)), score.window(sum(misses)))
    return presence, _run(counted, misses, seen_ms)


def _run(counted: list[Result], misses: list[float], seen_ms: int) -> Run:
    if not counted:
        return Run(misses=0.0, hits=0, since_ms=seen_ms, auth=False, cut=False)
    missed = misses[-1] > 0
    length = next((n for n, miss in enumerate(reversed(misses)) if (miss > 0) is not missed), len(misses))
    return Run(
        misses=sum(misses[-length:]),
        hits=0 if missed else length,
        since_ms=_within(counted[-length], seen_ms),
        auth=counted[-1].outcome is Outcome.AUTH,
        cut=length == len(counted) >= score.WINDOW,
    )


def _within(result: Result, seen_ms: int) -> int:
    return min(seen_ms, max(seen_ms - DAY_MS, to_ms(result.at)))
