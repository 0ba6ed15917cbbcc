"""A change of what is on hand, and its row in the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from .errors import (
    InsufficientStockError,
    InvalidAdjustmentError,
    QuantityOutOfRangeError,
    Shortage,
)
from .stock import ON_HAND_MAX, QUANTITY_MAX, Place


class Reason(StrEnum):
    """Why stock changed."""

    RECEIPT = "RECEIPT"
    SALE = "SALE"
    RETURN = "RETURN"
    DAMAGE = "DAMAGE"
    LOSS = "LOSS"
    CORRECTION = "CORRECTION"
    COUNT = "COUNT"
    TRANSFER_OUT = "TRANSFER_OUT"
    TRANSFER_IN = "TRANSFER_IN"


_GROWS = frozenset({Reason.RECEIPT, Reason.RETURN, Reason.TRANSFER_IN})
_STATED = frozenset({Reason.RECEIPT, Reason.DAMAGE, Reason.CORRECTION})
"""What a client states in one line; the others follow from sums of lines."""
_SHRINKS = frozenset({Reason.SALE, Reason.DAMAGE, Reason.LOSS, Reason.TRANSFER_OUT})


@dataclass(frozen=True, slots=True)
class Adjustment:
    """What is to change. `reservation_id` names the hold that a sale came from, or goes back to."""

    place: Place
    delta: int
    reason: Reason
    actor: str
    occurred_at: datetime
    reference: str | None = None
    reservation_id: str | None = None
    command_id: str | None = None
    transfer_id: str | None = None
    batch_id: str | None = None

    def __post_init__(self) -> None:
        most = QUANTITY_MAX if self.reason in _STATED else ON_HAND_MAX
        if not 1 <= abs(self.delta) <= most:
            raise InvalidAdjustmentError(f"delta is 1 to {most} or its negative")
        if self.delta < 0 and self.reason in _GROWS:
            raise InvalidAdjustmentError(f"{self.reason} adds stock: delta must be positive")
        if self.delta > 0 and self.reason in _SHRINKS:
            raise InvalidAdjustmentError(f"{self.reason} takes stock: delta must be negative")


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One row of the ledger; `sequence` counts the rows of its place without gaps from 1."""

    id: int
    place: Place
    sequence: int
    delta: int
    before: int
    after: int
    reason: Reason
    reference: str | None
    actor: str
    occurred_at: datetime
    recorded_at: datetime


def check_change(place: Place, on_hand: int, reserved: int, delta: int, *, backorder_limit: int = 0) -> None:
    """Refuse a change that would take held stock or leave the countable range.

    Raises:
        InsufficientStockError: less would be on hand than is held, `backorder_limit` aside, or less than nothing.
        QuantityOutOfRangeError: more would be on hand than can be counted exactly.
    """
    least = max(0, reserved - backorder_limit)
    if on_hand + delta < least:
        raise InsufficientStockError([Shortage(place.sku, place.location, -delta, on_hand - least)])
    if on_hand + delta > ON_HAND_MAX:
        raise QuantityOutOfRangeError
