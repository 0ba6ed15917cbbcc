"""A stock count: what somebody found on the shelf, an anchor for everything that the books said before."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from .stock import Place


@dataclass(frozen=True, slots=True)
class Count:
    """So much was found. `occurred_at` None: now, by the authority's clock."""

    place: Place
    counted: int
    actor: str
    occurred_at: datetime | None = None
    reference: str | None = None
    command_id: str | None = None


@dataclass(frozen=True, slots=True)
class Since:
    """What the ledger holds of a place that happened after a moment."""

    delta: int
    counted_again: bool


def delta_of(counted: int, on_hand: int, since: Since) -> int:
    """Return the change that makes the books agree with a count, its later changes kept.

    A count that a later one has overtaken changes nothing.
    """
    return 0 if since.counted_again else counted + since.delta - on_hand
