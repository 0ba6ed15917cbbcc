"""Guards for calls to what may fail. Pure asyncio, no dependency."""

from __future__ import annotations

from .advice import Advice, Adviser
from .breaker import CircuitBreaker
from .bulkhead import Bulkhead
from .circuit import Circuit
from .errors import BulkheadFull, CallNotPermitted, GuardError, IllegalMove, LimitReached, Shed
from .events import BreakerEvent, Cause, EventKind, Listener
from .guard import Guard
from .limiter import ConcurrencyLimiter, LimiterSettings, Slot
from .permit import Permit
from .retry_budget import Retry, RetryBudget
from .settings import BreakerSettings
from .shedding import Shedder
from .single_flight import SingleFlight
from .snapshot import Snapshot
from .state import State

__all__ = [
    "Advice",
    "Adviser",
    "BreakerEvent",
    "BreakerSettings",
    "Bulkhead",
    "BulkheadFull",
    "CallNotPermitted",
    "Cause",
    "Circuit",
    "CircuitBreaker",
    "ConcurrencyLimiter",
    "EventKind",
    "Guard",
    "GuardError",
    "IllegalMove",
    "LimitReached",
    "LimiterSettings",
    "Listener",
    "Permit",
    "Retry",
    "RetryBudget",
    "Shed",
    "Shedder",
    "SingleFlight",
    "Slot",
    "Snapshot",
    "State",
]
