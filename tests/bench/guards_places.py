"""Overload of 4 x capacity in front of a bulkhead and of a single flight: the real guards in virtual time.

The server works on ten calls at once for 20 ms each and lets the rest wait in order, without bound; callers give up
after 250 ms, which the server does not know. For the single flight, nine of ten calls ask for one of five things.

Bounds: with a bulkhead goodput (answers in time as a share of capacity) stays above 90 %; with a single flight all but
5 % of the callers are answered in time although they ask for 4 x what the server can give.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from resilience_guards import Bulkhead, BulkheadFull, SingleFlight
from resilience_runtime import ManualClock

WORKERS = 10
SERVICE_S = 0.020
CAPACITY_PER_S = WORKERS / SERVICE_S
OVERLOAD = 4.0
DEADLINE_S = 0.250
WARM_UP_S = 1.0
LENGTH_S = 5.0
GOODPUT_BOUND = 0.9
JOINED_BOUND = 0.95
RESULT = Path(".stack/bench/guards_places.json")

Serve = Callable[[int], Awaitable[None]]


class Shop:
    """A server, a stream of callers, and how many were answered in time."""

    def __init__(self, guard: Callable[[Serve], Serve]) -> None:
        self.clock = ManualClock()
        self._workers = asyncio.Semaphore(WORKERS)
        self._serve = guard(self._work)
        self._rng = random.Random(1)
        self.offered = self.good = 0

    async def run(self, length_s: float = LENGTH_S) -> None:
        async with asyncio.TaskGroup() as group:
            callers = []
            while self.clock.monotonic() < length_s:
                callers.append(group.create_task(self._call(self._thing())))
                await self.clock.advance(self._rng.expovariate(OVERLOAD * CAPACITY_PER_S))
            for caller in callers:
                caller.cancel()

    def _thing(self) -> int:
        hot = self._rng.random() < 0.9
        return self._rng.randrange(5) if hot else self._rng.randrange(5, 1_000_000)

    async def _work(self, _: int) -> None:
        async with self._workers:
            await self.clock.sleep(self._rng.gauss(SERVICE_S, SERVICE_S / 5))

    async def _call(self, thing: int) -> None:
        came_s = self.clock.monotonic()
        counts = came_s >= WARM_UP_S
        self.offered += counts
        try:
            await self._serve(thing)
        except BulkheadFull:
            return
        self.good += counts and self.clock.monotonic() - came_s <= DEADLINE_S

    def goodput(self, length_s: float = LENGTH_S) -> float:
        """Return answers in time as a share of what the server can give."""
        return self.good / ((length_s - WARM_UP_S) * CAPACITY_PER_S)

    def answered(self) -> float:
        """Return the share of callers that were answered in time."""
        return self.good / self.offered


def open_door(serve: Serve) -> Serve:
    return serve


def bulkhead(serve: Serve) -> Serve:
    places = Bulkhead(WORKERS, queue=WORKERS)

    async def guarded(thing: int) -> None:
        async with places:
            await serve(thing)

    return guarded


def single_flight(serve: Serve) -> Serve:
    flights: SingleFlight[int, None] = SingleFlight()

    async def joined(thing: int) -> None:
        await flights.do(thing, lambda: serve(thing))

    return joined


def main() -> int:
    """Simulate, print, write; answer 1 when a bound is missed."""
    print(f"{'':20}{'goodput':>9}{'answered in time':>18}")
    rows = {}
    for name, guard in (("no guard", open_door), ("bulkhead", bulkhead), ("single flight", single_flight)):
        shop = Shop(guard)
        asyncio.run(shop.run())
        rows[name] = {"goodput": shop.goodput(), "answered": shop.answered()}
        print(f"{name:20}{shop.goodput():9.1%}{shop.answered():18.1%}")
    missed = [] if rows["bulkhead"]["goodput"] >= GOODPUT_BOUND else ["bulkhead"]
    missed += [] if rows["single flight"]["answered"] >= JOINED_BOUND else ["single flight"]
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps({"rows": rows, "missed": missed}, indent=2), encoding="utf-8")
    print("Missed: " + ("; ".join(missed) or "none"))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
