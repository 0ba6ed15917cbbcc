"""Overload, simulated: offered load of 4 x capacity in front of a server with a queue, with and without guards.

A discrete-event simulation in virtual time with the real limiter and shedder. The server works on `WORKERS`
calls at once and queues the rest without bound, as an unguarded service does; a caller gives up at its deadline,
but the server does not know and works on. Goodput counts the answers that came within the deadline, as a share
of what the server could give; a refused caller does not come back.

The storm: 0.7 x capacity, the server stands still for two seconds, and callers whose deadline passes call again, three
times in all, though their first call still waits in the queue. Goodput is what is answered in time from 10 s
after the standstill on. Without a budget the retries alone keep the queue full for ever; with one it drains.

Bounds: goodput above 90 % of capacity in every guarded overload. Where the most important calls alone are less than
capacity, 99 % of them are served; 95 % at 0.9 of capacity, where a server without overload refuses as many because
of its own queue. At 10 x they alone are all of capacity.
"""

from __future__ import annotations

import heapq
import json
import random
import sys
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from resilience_guards import ConcurrencyLimiter, GuardError, LimiterSettings, RetryBudget, Shedder, Slot

WORKERS = 10
SERVICE_S = 0.020
CAPACITY_PER_S = WORKERS / SERVICE_S
OVERLOAD = 4.0
DEADLINE_S = 0.250
WARM_UP_S = 10.0
LENGTH_S = 40.0
MIX = (0.1, 0.3, 0.6)
GOODPUT_BOUND = 0.9
MOST_IMPORTANT_BOUNDS = {0.4: 0.99, 0.7: 0.99, 0.9: 0.95}
"""Share served of the most important calls, by what they alone ask of capacity."""
STORM_LOAD = 0.7
STORM, BUDGETED = "storm, retries without a budget", "storm, retries at most 10 % of calls"
RESULT = Path(".stack/bench/guards_overload.json")

Admit = Callable[[int], Slot | None]


@dataclass
class Job:
    importance: int
    arrived_s: float
    slot: Slot | None
    attempt: int = 1
    done: bool = False


@dataclass
class Server:
    """A server of fixed speed with an endless queue, an open stream of callers, and what stands before it."""

    load: float
    seed: int
    mix: tuple[float, ...] = MIX
    length_s: float = LENGTH_S
    now_s: float = 0.0
    busy: int = 0
    queue: deque[Job] = field(default_factory=deque)
    events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    good: Counter[int] = field(default_factory=Counter)
    offered: Counter[int] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.limiter: ConcurrencyLimiter | None = None
        self.by_class = False
        self.admit: Admit = lambda _: None
        self.number = 0
        self.attempts = 1
        self.budget: RetryBudget | None = None
        self.standstill_s = (0.0, 0.0)
        self.counted_from_s = WARM_UP_S

    def guard(self, *, by_class: bool) -> Server:
        """Put a limiter, and a shedder before it, in front."""
        limiter = self.limiter = ConcurrencyLimiter(LimiterSettings(initial=20), self.clock)
        self.by_class = by_class
        shedder = Shedder(limiter, len(self.mix), clock=self.clock)
        self.admit = shedder.acquire if by_class else lambda _: limiter.acquire()
        return self

    def storm(self, budget: RetryBudget | None) -> Server:
        """Let the server stand still for a while, and callers call again."""
        self.attempts, self.budget = 3, budget
        self.standstill_s = (WARM_UP_S, WARM_UP_S + 2)
        self.counted_from_s = WARM_UP_S + 12
        return self

    def clock(self) -> float:
        return self.now_s

    def run(self) -> Server:
        self._plan(0.0, self._arrive)
        while self.events and self.now_s < self.length_s:
            self.now_s, _, happen = heapq.heappop(self.events)
            happen()
        return self

    def _plan(self, in_s: float, happen: Callable[[], None]) -> None:
        self.number += 1
        heapq.heappush(self.events, (self.now_s + in_s, self.number, happen))

    def _arrive(self) -> None:
        self._plan(self.rng.expovariate(self.load * CAPACITY_PER_S), self._arrive)
        (importance,) = self.rng.choices(range(len(self.mix)), self.mix)
        if self.now_s >= self.counted_from_s:
            self.offered[importance] += 1
        if self.budget is not None:
            self.budget.called()
        self._offer(importance, 1)

    def _offer(self, importance: int, attempt: int) -> None:
        try:
            slot = self.admit(importance)
        except GuardError:
            return
        job = Job(importance, self.now_s, slot, attempt)
        if attempt < self.attempts:
            self._plan(DEADLINE_S, partial(self._call_again, job))
        self.queue.append(job)
        self._work()

    def _call_again(self, job: Job) -> None:
        if not job.done and (self.budget is None or self.budget.take()):
            self._offer(job.importance, job.attempt + 1)

    def _work(self) -> None:
        if self.queue and self.busy < WORKERS:
            self.busy += 1
            begin_s, end_s = self.standstill_s
            still_s = end_s - self.now_s if begin_s <= self.now_s < end_s else 0.0
            job = self.queue.popleft()
            self._plan(still_s + self.rng.gauss(SERVICE_S, SERVICE_S / 5), partial(self._finish, job))

    def _finish(self, job: Job) -> None:
        self.busy -= 1
        job.done = True
        took_s = self.now_s - job.arrived_s
        in_time = took_s <= DEADLINE_S
        if self.limiter is not None and job.slot is not None:
            (self.limiter.succeeded if in_time else self.limiter.dropped)(job.slot)
        if self.now_s >= self.counted_from_s:
            self.good[job.importance] += in_time
            self.latencies_s.append(took_s)
        self._work()

    def goodput(self) -> float:
        """Return answers in time as a share of what the server can give."""
        return sum(self.good.values()) / ((self.length_s - self.counted_from_s) * CAPACITY_PER_S)

    def served(self) -> list[float]:
        """Return the share of its calls that each class got answered in time."""
        return [
            self.good[each] / self.offered[each] if self.offered[each] else 1.0
            for each in range(len(self.mix))
        ]

    def p99_ms(self) -> float:
        """Return the 99th percentile of how long an answer took."""
        return sorted(self.latencies_s)[len(self.latencies_s) * 99 // 100] * 1000


def scenarios() -> dict[str, Server]:
    return {
        "no guard, 0.9 x": Server(0.9, 1),
        "no guard, 4 x": Server(OVERLOAD, 1),
        "limiter, 0.9 x": Server(0.9, 1).guard(by_class=False),
        "limiter, 4 x": Server(OVERLOAD, 1).guard(by_class=False),
        "limiter and shedder, 4 x": Server(OVERLOAD, 1).guard(by_class=True),
        "limiter and shedder, 4 x, lowest class only": Server(OVERLOAD, 1, (0.0, 0.0, 1.0)).guard(
            by_class=True
        ),
        "limiter and shedder, 4 x, most important calls 0.7 x": Server(
            OVERLOAD, 1, (0.175, 0.3, 0.525)
        ).guard(by_class=True),
        "limiter and shedder, 4 x, most important calls 0.9 x": Server(
            OVERLOAD, 1, (0.225, 0.3, 0.475)
        ).guard(by_class=True),
        "limiter and shedder, 10 x": Server(10.0, 1).guard(by_class=True),
        STORM: Server(STORM_LOAD, 1).storm(None),
        BUDGETED: Server(STORM_LOAD, 1).storm(RetryBudget()),
    }


def main() -> int:
    """Simulate, print, write; answer 1 when goodput under overload is below the bound."""
    print(f"{'':54}{'goodput':>9}{'p99 ms':>9}   answered in time by class, most important first")
    rows: dict[str, dict[str, Any]] = {}
    missed = []
    for name, server in scenarios().items():
        server.run()
        rows[name] = {"goodput": server.goodput(), "p99_ms": server.p99_ms(), "served": server.served()}
        print(
            f"{name:54}{server.goodput():9.1%}{server.p99_ms():9.0f}   {' '.join(f'{s:.1%}' for s in server.served())}"
        )
        if server.limiter is not None and server.load > 1 and server.goodput() < GOODPUT_BOUND:
            missed.append(name)
        own = round(server.load * server.mix[0], 3)
        if server.by_class and server.served()[0] < MOST_IMPORTANT_BOUNDS.get(own, 0.0):
            missed.append(f"{name}: the most important calls")
    if rows[BUDGETED]["goodput"] < GOODPUT_BOUND * STORM_LOAD:
        missed.append(BUDGETED)
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps({"rows": rows, "missed": missed}, indent=2), encoding="utf-8")
    print("Missed: " + ("; ".join(missed) or "none"))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
