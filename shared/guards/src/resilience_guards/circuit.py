"""The state machine of a circuit breaker: synchronous, so nothing can come between a check and its update.

Rules follow resilience4j 2.4.0 but for its defects (tests/guards/data/differences.json lists each).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from math import inf, nextafter
from random import Random

from .advice import STRETCH, Advice, Adviser
from .era import Era, first_era, next_era
from .errors import CallNotPermitted, IllegalMove
from .events import BreakerEvent, Cause, EventKind, Listener
from .permit import Permit
from .settings import BreakerSettings
from .snapshot import Snapshot
from .state import CLOSED, HALF_OPEN, LEGAL_MOVES, METRICS_ONLY, OPEN, State
from .window import FAILED, FAST, SLOW

log = logging.getLogger(__name__)

DEFAULTS = BreakerSettings()


class Circuit:
    """A circuit breaker without the calls: permits are taken and reported by hand.

    Belongs to one event loop. No method blocks or awaits.

    Args:
        name: in events and errors.
        settings: when it opens and for how long.
        clock: monotonic seconds.
        rng: draws the random part of waits.
        adviser: what the fleet thinks; asked when a call comes in OPEN.
    """

    def __init__(
        self,
        name: str,
        settings: BreakerSettings = DEFAULTS,
        clock: Callable[[], float] = time.monotonic,
        rng: Random | None = None,
        adviser: Adviser | None = None,
    ) -> None:
        self.name = name
        self.settings = settings
        self._clock = clock
        self._rng = rng or Random()  # noqa: S311 - spreads load, keeps no secret
        self._adviser = adviser
        self._listeners: list[Listener] = []
        self._slow_call_s = settings.slow_call_s
        self._bounded = settings.call_deadline_s is not None
        self._is_bad_result = settings.is_bad_result
        self._on_time = settings.half_open_on_time
        self._refused_total = self._late_total = self._expired_total = 0
        self._era = first_era(settings, clock())

    @property
    def state(self) -> State:
        """The state. OPEN lasts until a call asks after the wait, or `poll` with `half_open_on_time`."""
        return self._era.state

    def now_s(self) -> float:
        """Read the breaker's clock."""
        return self._clock()

    def on_event(self, listener: Listener) -> None:
        """Tell a listener of each event; what it raises is logged and never reaches a call."""
        self._listeners.append(listener)

    def acquire(self) -> Permit:
        """Take a permit.

        Raises:
            CallNotPermitted: the breaker is open, or all places of HALF_OPEN are taken.
        """
        era = self._era
        now_s = self._clock()
        if era.admits_all:
            return Permit(era, now_s)
        if now_s <= era.sealed_s:
            era.window.not_permitted += 1
            self._refused_total += 1
            raise CallNotPermitted(self.name, OPEN, era.ends_s - now_s or _TICK_S)
        permit = self.try_acquire()
        if permit is None:
            raise CallNotPermitted(self.name, self._era.state, self._retry_after_s(self._era, now_s))
        return permit

    def try_acquire(self) -> Permit | None:
        """Take a permit, or None where `acquire` would raise."""
        era = self._era
        now_s = self._clock()
        if era.admits_all:
            return Permit(era, now_s)
        permit = None if now_s <= era.sealed_s else self._take_place(now_s)
        if permit is None:
            self._era.window.not_permitted += 1
            self._refused_total += 1
        return permit

    def succeeded(self, permit: Permit, took_s: float | None = None) -> None:
        """Report that the call came back; `took_s` is counted from the permit unless given."""
        self._report(permit, FAST, took_s)

    def failed(self, permit: Permit, took_s: float | None = None) -> None:
        """Report that the call speaks against the dependency."""
        self._report(permit, FAILED, took_s)

    def released(self, permit: Permit) -> None:
        """Give a permit back that says nothing, as after a cancellation."""
        permit.spent = True
        if permit.era.leases.pop(permit, None) is not None:
            permit.era.free += 1

    def renew(self, permit: Permit) -> None:
        """Start the lease of a call in HALF_OPEN anew, because it was heard of."""
        if permit in permit.era.leases:
            permit.era.leases[permit] = self._clock() + self.settings.permit_lease_s

    def is_call_permitted(self) -> bool:
        """Say whether `acquire` would succeed now, consuming nothing."""
        return self._retry_after_s(self._era, self._clock()) == 0

    def poll(self) -> State:
        """Make the moves that are due by time alone, so that listeners hear of them while nobody calls."""
        return self._due(self._clock()).state

    def snapshot(self) -> Snapshot:
        """Return state, rates and counts, changing nothing."""
        era, now_s = self._era, self._clock()
        counts = era.window.counts(now_s)
        known = counts.calls >= era.needed
        return Snapshot(
            name=self.name,
            state=era.state,
            era=era.number,
            since_s=era.began_s,
            failure_rate=counts.failed / counts.calls if known else None,
            slow_rate=counts.slow / counts.calls if known else None,
            calls=counts.calls,
            failed=counts.failed,
            slow=counts.slow,
            not_permitted=era.window.not_permitted,
            permits_free=era.free,
            openings=era.openings,
            retry_after_s=self._retry_after_s(era, now_s),
            refused_total=self._refused_total,
            late_total=self._late_total,
            expired_total=self._expired_total,
        )

    def reset(self) -> None:
        """Close with an empty window, from any state."""
        now_s = self._clock()
        previous = self._due(now_s).state
        self._enter(State.CLOSED, Cause.OPERATOR, now_s)
        self._tell(EventKind.RESET, previous, Cause.OPERATOR, now_s)

    def move(self, state: State, for_s: float | None = None) -> None:
        """Move by hand; `for_s` sets the wait in OPEN, which then counts as no further opening in a row.

        Raises:
            IllegalMove: see `LEGAL_MOVES`.
        """
        now_s = self._clock()
        source = self._due(now_s).state
        if state not in LEGAL_MOVES[source]:
            raise IllegalMove(self.name, source, state)
        self._enter(state, Cause.OPERATOR, now_s, for_s)

    def force_open(self) -> None:
        """Refuse every call until moved."""
        self.move(State.FORCED_OPEN)

    def disable(self) -> None:
        """Let every call through and count nothing until moved."""
        self.move(State.DISABLED)

    def measure_only(self) -> None:
        """Let every call through and only count until moved."""
        self.move(State.METRICS_ONLY)

    def _take_place(self, now_s: float) -> Permit | None:
        era = self._due(now_s)
        if era.state is OPEN and now_s > self._wait_end_s(era):
            era = self._enter(HALF_OPEN, Cause.WAIT_OVER, now_s)
        permit = Permit(era, now_s)
        if era.admits_all:
            return permit
        if not era.free:
            self._reclaim(era, now_s)
        if not era.free:
            return None
        era.free -= 1
        era.leases[permit] = now_s + self.settings.permit_lease_s
        return permit

    def _reclaim(self, era: Era, now_s: float) -> None:
        for _ in range(era.reclaim(now_s)):
            self._expired_total += 1
            self._tell(EventKind.LEASE_EXPIRED, era.state, Cause.NEVER_REPORTED, now_s)

    def _report(self, permit: Permit, bits: int, took_s: float | None) -> None:
        now_s = self._clock()
        era = self._due(now_s) if self._era.timed else self._era
        probing = era.state is HALF_OPEN
        if permit.era is not era or permit.spent or (probing and permit not in era.leases):
            self._late_total += 1
            return
        permit.spent = True
        era.leases.pop(permit, None)
        if (now_s - permit.started_s if took_s is None else took_s) > self._slow_call_s:
            bits |= SLOW
        if era.records and (era.window.record(bits, now_s) or probing):
            self._judge(era, now_s)

    def _judge(self, era: Era, now_s: float) -> None:
        window = era.window
        if window.calls < era.needed:
            return
        failing = window.failed / window.calls >= self.settings.failure_rate
        slowing = window.slow / window.calls >= self.settings.slow_rate
        if era.state is not HALF_OPEN:
            if failing:
                self._exceeded(era, EventKind.FAILURE_RATE_EXCEEDED, Cause.FAILURE_RATE, now_s)
            if slowing:
                self._exceeded(era, EventKind.SLOW_RATE_EXCEEDED, Cause.SLOW_RATE, now_s)
        if self._era is not era or era.state is METRICS_ONLY:
            return
        if failing or slowing:
            self._enter(OPEN, Cause.FAILURE_RATE if failing else Cause.SLOW_RATE, now_s)
        elif era.state is HALF_OPEN:
            self._enter(CLOSED, Cause.PROBES_PASSED, now_s)

    def _exceeded(self, era: Era, kind: EventKind, cause: Cause, now_s: float) -> None:
        if kind not in era.told:
            era.told.add(kind)
            self._tell(kind, era.state, cause, now_s)

    def _due(self, now_s: float) -> Era:
        """Make the timed moves up to now, each at its own time, and return the era that results."""
        while True:
            era, settings = self._era, self.settings
            if era.state is HALF_OPEN and era.ends_s <= now_s:
                self._enter(settings.half_open_limit_to, Cause.HALF_OPEN_LIMIT, era.ends_s)
            elif era.state is OPEN and self._on_time and self._wait_end_s(era) <= now_s:
                self._enter(HALF_OPEN, Cause.WAIT_OVER, self._wait_end_s(era))
            else:
                return era

    def _enter(self, state: State, cause: Cause, now_s: float, for_s: float | None = None) -> Era:
        previous = self._era.state
        era = self._era = next_era(self._era, state, self.settings, self._rng, now_s=now_s, wait_s=for_s)
        if state is OPEN and self._adviser is None:
            era.sealed_s = nextafter(era.ends_s, -inf) if self._on_time else era.ends_s
        if previous is not state:
            self._tell(EventKind.TRANSITION, previous, cause, now_s)
        return self._era  # a listener may have moved it on

    def _wait_end_s(self, era: Era) -> float:
        if self._adviser is None:
            return era.ends_s
        try:
            advice = self._adviser()
        except Exception:
            log.exception("the adviser of circuit breaker %r failed", self.name)
            advice = Advice.NONE
        return era.began_s + (era.ends_s - era.began_s) * STRETCH[advice]

    def _retry_after_s(self, era: Era, now_s: float) -> float:
        if era.admits_all or (era.state is HALF_OPEN and era.free):
            return 0.0
        if era.state is OPEN:
            left_s = self._wait_end_s(era) - now_s
            return left_s or _TICK_S if left_s >= 0 else 0.0
        if era.state is HALF_OPEN:
            place_s = min(era.leases.values(), default=era.ends_s) - now_s
            return max(0.0, min(place_s, self.settings.open_wait_s))
        return self.settings.open_wait_cap_s

    def _tell(self, kind: EventKind, previous: State, cause: Cause, now_s: float) -> None:
        if not self._listeners:
            return
        event = BreakerEvent(self.name, kind, previous, self._era.state, cause, self._era.number, now_s)
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:
                log.exception("a listener of circuit breaker %r failed", self.name)


_TICK_S = 1e-9
"""A wait ends strictly after its last moment, as in resilience4j, so a refusal never says 0."""
