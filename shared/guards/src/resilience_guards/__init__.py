"""Guards for calls to what may fail: circuit breaker and single flight. Pure asyncio, no dependency."""

from __future__ import annotations

from .breaker import CircuitBreaker, Permit, Snapshot, State, Transition
from .errors import CallNotPermitted, GuardError
from .settings import BreakerSettings
from .single_flight import SingleFlight
from .window import CountWindow

__all__ = [
    "BreakerSettings",
    "CallNotPermitted",
    "CircuitBreaker",
    "CountWindow",
    "GuardError",
    "Permit",
    "SingleFlight",
    "Snapshot",
    "State",
    "Transition",
]
