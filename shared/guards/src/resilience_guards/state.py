"""The six states of a circuit and the moves between them that an operator may ask for."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """What a breaker does with calls."""

    CLOSED = "CLOSED"
    OPEN = "OPEN"
    HALF_OPEN = "HALF_OPEN"
    FORCED_OPEN = "FORCED_OPEN"
    DISABLED = "DISABLED"
    METRICS_ONLY = "METRICS_ONLY"


_ALL = frozenset(State)

LEGAL_MOVES: dict[State, frozenset[State]] = {
    State.CLOSED: _ALL - {State.HALF_OPEN},
    State.OPEN: _ALL,
    State.HALF_OPEN: _ALL,
    State.FORCED_OPEN: _ALL,
    State.DISABLED: _ALL,
    State.METRICS_ONLY: _ALL - {State.OPEN, State.HALF_OPEN},
}
"""Moves by hand, as in resilience4j; the breaker's own moves are a subset."""

# Enum members by name cost a Python call each in CPython 3.11; what is asked on every call has a name of its own.
CLOSED, OPEN, HALF_OPEN = State.CLOSED, State.OPEN, State.HALF_OPEN
METRICS_ONLY = State.METRICS_ONLY

ADMITS_ALL = frozenset({State.CLOSED, State.DISABLED, State.METRICS_ONLY})
RECORDS = frozenset({State.CLOSED, State.HALF_OPEN, State.METRICS_ONLY})
TIMED = frozenset({State.OPEN, State.HALF_OPEN})
