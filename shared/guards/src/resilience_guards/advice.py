"""What others know about the dependency, offered to a breaker that waits in OPEN."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto


class Advice(Enum):
    """A hint from the fleet. It moves the end of a wait within bounds and never changes a state by itself."""

    NONE = auto()
    SOONER = auto()
    LATER = auto()


Adviser = Callable[[], Advice]

STRETCH: dict[Advice, float] = {Advice.NONE: 1.0, Advice.SOONER: 0.25, Advice.LATER: 2.0}
"""Share of the wait that is served. Bounded both ways, so that a wrong or stale adviser can neither cause a
storm of probes nor keep a recovered dependency away for long."""
