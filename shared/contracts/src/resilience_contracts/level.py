"""The five levels, and the version that orders the states of one scope."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import NamedTuple


class Level(IntEnum):
    """How much of the shop works; the number is the rank, and a higher rank is worse."""

    OPTIMAL = 0
    DEGRADED = 1
    LIMITED = 2
    MINIMAL = 3
    EMERGENCY = 4

    @staticmethod
    def from_rank(rank: int) -> Level:
        """Read a level by its rank, so that a level this code does not know is still placed.

        A rank beyond the known ones is read as the worst known level.
        """
        return Level(min(max(rank, 0), Level.EMERGENCY))

    def better(self) -> Level:
        """Return the next better level; OPTIMAL stays."""
        return Level(max(self - 1, 0))


class DecidedBy(StrEnum):
    """Which rule gave the level."""

    SCORE = "score"
    FLOOR = "floor"
    CEILING = "ceiling"
    HOLD = "hold"
    MONITOR_LOST = "monitor_lost"


class Version(NamedTuple):
    """Order of the states of one scope; compare as a tuple.

    `epoch` grows when the engine lost its state, `counter` with each change within an epoch.
    """

    epoch: int
    counter: int

    def __str__(self) -> str:
        return f"{self.epoch}.{self.counter}"
