"""Guards for calls to what may fail. Pure asyncio, no dependency."""

from __future__ import annotations

from .advice import Advice, Adviser
from .breaker import CircuitBreaker
from .circuit import Circuit
from .errors import CallNotPermitted, GuardError, IllegalMove
from .events import BreakerEvent, Cause, EventKind, Listener
from .guard import Guard
from .permit import Permit
from .settings import BreakerSettings
from .single_flight import SingleFlight
from .snapshot import Snapshot
from .state import State

__all__ = [
    "Advice",
    "Adviser",
    "BreakerEvent",
    "BreakerSettings",
    "CallNotPermitted",
    "Cause",
    "Circuit",
    "CircuitBreaker",
    "EventKind",
    "Guard",
    "GuardError",
    "IllegalMove",
    "Listener",
    "Permit",
    "SingleFlight",
    "Snapshot",
    "State",
]
