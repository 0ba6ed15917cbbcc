"""A clock that is moved by hand, calls to guard, and a small breaker in front of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from resilience_guards import BreakerSettings, CircuitBreaker, State


class ManualTime:
    """Monotonic seconds that pass when told to."""

    def __init__(self, now_s: float = 1000.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s

    def advance(self, by_s: float) -> None:
        self.now_s += by_s


async def fetch() -> int:
    return 1


async def refuse() -> int:
    raise OSError


async def hang() -> None:
    await asyncio.Event().wait()


def breaker(clock: ManualTime, **settings: Any) -> CircuitBreaker:
    defaults: dict[str, Any] = {
        "window_calls": 10,
        "minimum_calls": 2,
        "open_wait_s": 1.0,
        "open_wait_jitter": 0.0,
        "half_open_permits": 1,
    }
    return CircuitBreaker("db", BreakerSettings(**(defaults | settings)), clock)


async def fail(guarded: CircuitBreaker, times: int) -> None:
    for _ in range(times):
        with pytest.raises(OSError, match=r"^$"):
            await guarded.call(refuse)


async def opened(clock: ManualTime, **settings: Any) -> CircuitBreaker:
    """Return a breaker whose wait in OPEN is over."""
    guarded = breaker(clock, **settings)
    await fail(guarded, 2)
    assert state_of(guarded) is State.OPEN
    clock.advance(1.1)
    return guarded


def state_of(guarded: CircuitBreaker) -> State:
    return guarded.state
