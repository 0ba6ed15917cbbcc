"""What the console shows of the inventory beside the level; it decides nothing here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Figures:
    """The inventory's own figures, as of a time; `stale` where it gave the last ones that it had."""

    skus: int
    on_hand: int
    reserved: int
    low: int
    out: int
    as_of: datetime
    stale: bool


@dataclass(frozen=True, slots=True)
class Backlog:
    """Writes that were accepted and wait to be applied; None where the inventory does not know yet."""

    waiting: int | None
    oldest_age_s: float | None
    heard_at: datetime


@dataclass(frozen=True, slots=True)
class Inventory:
    """The last of each that was heard, and why there is nothing newer."""

    figures: Figures | None = None
    backlog: Backlog | None = None
    problem: str | None = None
