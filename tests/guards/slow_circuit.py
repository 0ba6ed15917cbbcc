"""A circuit that is slow and obvious: it keeps every call for ever and counts again each time.

No ring, no counters, no leases table: what `resilience_guards.Circuit` is compared with.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from resilience_guards import BreakerSettings, State

FREE = {State.CLOSED, State.DISABLED, State.METRICS_ONLY}


@dataclass(eq=False)
class Call:
    era: int
    began: float
    lease_ends: float = float("inf")
    ended: bool = False


@dataclass
class SlowCircuit:
    settings: BreakerSettings
    now: float
    state: State = State.CLOSED
    era: int = 0
    openings: int = 0
    ends: float = float("inf")
    judged: list[tuple[bool, bool, float]] = field(default_factory=list)
    window_of: State = State.CLOSED
    probes: list[Call] = field(default_factory=list)
    reported: list[Call] = field(default_factory=list)
    late: int = 0

    def acquire(self) -> Call | None:
        self.settle()
        if self.state is State.OPEN and self.now > self.ends:
            self.enter(State.HALF_OPEN)
        call = Call(self.era, self.now)
        if self.state in FREE:
            return call
        if self.state is not State.HALF_OPEN:
            return None
        if self.taken() == self.settings.half_open_permits:
            for probe in self.probes:
                probe.ended = probe.ended or probe.lease_ends <= self.now
        if self.taken() == self.settings.half_open_permits:
            return None
        call.lease_ends = self.now + self.settings.permit_lease_s
        self.probes.append(call)
        return call

    def taken(self) -> int:
        return sum(not probe.ended or probe in self.reported for probe in self.probes)

    def report(self, call: Call, *, failed: bool) -> None:
        self.settle()
        if call.ended or call.era != self.era:
            self.late += 1
            return
        call.ended = True
        if self.state is State.HALF_OPEN:
            self.reported.append(call)
        if self.state in {State.DISABLED, State.FORCED_OPEN}:
            return
        self.judged.append((failed, self.now - call.began > self.settings.slow_call_s, self.now))
        self.judge()

    def release(self, call: Call) -> None:
        call.ended = True

    def window(self) -> list[tuple[bool, bool, float]]:
        settings = self.settings
        if self.window_of is State.HALF_OPEN:
            return self.judged[-settings.half_open_permits :]
        if settings.window_s is None:
            return self.judged[-settings.window_calls :]
        bucket_s = settings.window_bucket_s
        oldest = self.now // bucket_s - round(settings.window_s / bucket_s) + 1
        return [call for call in self.judged if call[2] // bucket_s >= oldest]

    def counts(self) -> tuple[int, int, int]:
        window = self.window()
        return len(window), sum(call[0] for call in window), sum(call[1] for call in window)

    def judge(self) -> None:
        calls, failed, slow = self.counts()
        if calls < self.settings.needed_calls(self.state) or self.state is State.METRICS_ONLY:
            return
        over = failed / calls >= self.settings.failure_rate or slow / calls >= self.settings.slow_rate
        if over:
            self.enter(State.OPEN)
        elif self.state is State.HALF_OPEN:
            self.enter(State.CLOSED)

    def settle(self) -> None:
        while True:
            if self.state is State.HALF_OPEN and self.ends <= self.now:
                self.enter(self.settings.half_open_limit_to, at=self.ends)
            elif self.state is State.OPEN and self.settings.half_open_on_time and self.ends <= self.now:
                self.enter(State.HALF_OPEN, at=self.ends)
            else:
                return

    def enter(self, state: State, at: float | None = None) -> None:
        at = self.now if at is None else at
        self.era += 1
        if state is not State.OPEN:
            self.judged, self.window_of = [], state
        self.probes, self.reported, self.state, self.ends = [], [], state, float("inf")
        if state is State.OPEN:
            self.openings += 1
            grown = self.settings.open_wait_s * self.settings.open_wait_multiplier ** (self.openings - 1)
            self.ends = at + min(grown, self.settings.open_wait_cap_s)
        elif state is State.HALF_OPEN:
            self.ends = at + (self.settings.half_open_limit_s or float("inf"))
        else:
            self.openings = 0
