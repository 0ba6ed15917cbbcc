"""One stay of a circuit in one state, with what belongs to it alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from random import Random

from .permit import Permit
from .settings import BreakerSettings
from .state import ADMITS_ALL, RECORDS, TIMED, State
from .window import CallWindow, Window


@dataclass(slots=True, eq=False)
class Era:
    """One stay in one state. A result counts only in the era in which its call was admitted.

    Attributes:
        number: grows with each era of a breaker.
        ends_s: in OPEN when the wait is over, in HALF_OPEN its limit.
        needed: calls from which rates are known.
        openings: in a row, without closing between.
        sealed_s: in OPEN the last moment at which its wait alone refuses every call; before all time otherwise.
        free: places left in HALF_OPEN.
        leases: calls under way in HALF_OPEN, and until when each holds its place.
        told: kinds of exceeded rates already told of.
    """

    number: int
    state: State
    window: Window
    began_s: float
    needed: int
    openings: int = 0
    ends_s: float = inf
    sealed_s: float = -inf
    free: int = 0
    leases: dict[Permit, float] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    admits_all: bool = field(init=False)
    records: bool = field(init=False)
    timed: bool = field(init=False)

    def __post_init__(self) -> None:
        self.admits_all = self.state in ADMITS_ALL
        self.records = self.state in RECORDS
        self.timed = self.state in TIMED

    def reclaim(self, now_s: float) -> int:
        """Take back the places whose lease is over; return how many."""
        over = [permit for permit, end_s in self.leases.items() if end_s <= now_s]
        for permit in over:
            del self.leases[permit]
        self.free += len(over)
        return len(over)


def first_era(settings: BreakerSettings, now_s: float) -> Era:
    """Begin CLOSED."""
    return Era(0, State.CLOSED, settings.new_window(), now_s, settings.needed_calls(State.CLOSED))


def next_era(
    last: Era, state: State, settings: BreakerSettings, rng: Random, *, now_s: float, wait_s: float | None
) -> Era:
    """Begin a state after `last`. OPEN keeps the window that opened it, to be read; nothing is added to it.

    `wait_s` replaces the wait of the settings in OPEN, which then counts as no further opening.
    """
    if state is State.OPEN:
        window, needed = last.window, last.needed
    else:
        window, needed = _new_window(state, settings), settings.needed_calls(state)
    era = Era(last.number + 1, state, window, now_s, needed)
    if state is State.OPEN:
        era.openings = last.openings + (wait_s is None)
        era.ends_s = now_s + (settings.wait_s(era.openings, rng) if wait_s is None else wait_s)
    elif state is State.HALF_OPEN:
        era.openings = last.openings
        era.free = settings.half_open_permits
        era.ends_s = now_s + (settings.half_open_limit_s or inf)
    return era


def _new_window(state: State, settings: BreakerSettings) -> Window:
    if state in {State.CLOSED, State.METRICS_ONLY}:
        return settings.new_window()
    return CallWindow(settings.half_open_permits)
