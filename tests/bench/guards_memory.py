"""What a breaker keeps: at most 20 KB each, and nothing of a million calls, of refusals or of lost probes."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

from resilience_guards import BreakerSettings, CircuitBreaker, State

CALLS = 1_000_000
BREAKERS = 200
BYTES_EACH_BOUND = 20 * 1024
KEPT_BOUND = 4096
TIMES_BOUND = 1.5
RESULT = Path(".stack/bench/guards_memory.json")


async def fetch() -> int:
    return 1


def size_each(settings: BreakerSettings) -> float:
    """Return the bytes that one breaker takes."""
    gc.collect()
    tracemalloc.start()
    kept = [CircuitBreaker("bench", settings) for _ in range(BREAKERS)]
    gc.collect()
    size = tracemalloc.get_traced_memory()[0] / len(kept)
    tracemalloc.stop()
    return size


def kept_after(work: Callable[[int], object], times: int) -> int:
    """Return the bytes still held after doing it so many times, once warm."""
    work(1000)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    work(times)
    gc.collect()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return after - before


def calling(breaker: CircuitBreaker) -> Callable[[int], object]:
    async def calls(times: int) -> None:
        for _ in range(times):
            await breaker.call(fetch)

    return lambda times: asyncio.run(calls(times))


def refusing() -> Callable[[int], object]:
    breaker = CircuitBreaker("bench", BreakerSettings(open_wait_s=3600, open_wait_cap_s=3600))
    breaker.move(State.OPEN)

    def refuse(times: int) -> None:
        for _ in range(times):
            breaker.try_acquire()

    return refuse


def losing_probes() -> Callable[[int], object]:
    now = [0.0]
    breaker = CircuitBreaker("bench", BreakerSettings(open_wait_s=1), lambda: now[0])
    breaker.move(State.OPEN)

    def lose(times: int) -> None:
        for _ in range(times):
            now[0] += 61
            breaker.try_acquire()

    return lose


def ns_per_call(window_calls: int) -> float:
    """Return the best time of a failing-and-healing circuit with a window of that size."""
    breaker = CircuitBreaker("bench", BreakerSettings(window_calls=window_calls, minimum_calls=10_000))
    best = float("inf")
    for _ in range(7):
        started = time.perf_counter()
        for number in range(20_000):
            permit = breaker.acquire()
            (breaker.failed if number % 3 == 0 else breaker.succeeded)(permit)
            if breaker.state is not State.CLOSED:
                breaker.reset()
        best = min(best, time.perf_counter() - started)
    return best / 20_000 * 1e9


def main() -> int:
    """Measure, print, write; answer 1 when a bound is missed."""
    sizes = {
        "100 calls": size_each(BreakerSettings()),
        "10,000 calls": size_each(BreakerSettings(window_calls=10_000)),
        "60 seconds": size_each(BreakerSettings(window_s=60)),
    }
    kept = {
        f"{CALLS:,} calls": kept_after(calling(CircuitBreaker("bench")), CALLS),
        f"{CALLS // 10:,} calls, time window": kept_after(
            calling(CircuitBreaker("bench", BreakerSettings(window_s=60))), CALLS // 10
        ),
        "100,000 refusals": kept_after(refusing(), 100_000),
        "10,000 lost probes": kept_after(losing_probes(), 10_000),
    }
    times = {str(size): ns_per_call(size) for size in (10, 10_000)}
    for name, size in sizes.items():
        print(f"one breaker, window of {name:16}{size:10.0f} bytes of at most {BYTES_EACH_BOUND}")
    for name, size in kept.items():
        print(f"kept after {name:28}{size:10.0f} bytes of at most {KEPT_BOUND}")
    print(
        f"acquire and report: {times['10']:.0f} ns with a window of 10, {times['10000']:.0f} ns with 10,000"
    )
    faults = [name for name, size in sizes.items() if size > BYTES_EACH_BOUND]
    faults += [name for name, size in kept.items() if size > KEPT_BOUND]
    if times["10000"] > times["10"] * TIMES_BOUND:
        faults.append("time grows with the window")
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(
        json.dumps({"each": sizes, "kept": kept, "ns": times, "missed": faults}, indent=2), "utf-8"
    )
    print("Missed: " + ("; ".join(faults) or "none"))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
