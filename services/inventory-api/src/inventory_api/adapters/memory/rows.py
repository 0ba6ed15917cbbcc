"""The tables of the store in memory."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from datetime import datetime

from inventory_api.application.store import Kept
from inventory_api.domain.adjustment import LedgerEntry
from inventory_api.domain.operation import Operation
from inventory_api.domain.reservation import Reservation
from inventory_api.domain.sku import Location, Sku
from inventory_api.domain.stock import Place, StockLevel
from inventory_api.domain.transfer import Transfer


@dataclass(slots=True)
class Rows:
    """All tables. Every row is frozen, so a copy of the tables is a copy of everything."""

    skus: dict[str, Sku] = field(default_factory=dict)
    locations: dict[str, Location] = field(default_factory=dict)
    levels: dict[Place, StockLevel] = field(default_factory=dict)
    reservations: dict[str, Reservation] = field(default_factory=dict)
    ledger: list[LedgerEntry] = field(default_factory=list)
    sales: list[tuple[int, str | None]] = field(default_factory=list)
    transfers: dict[str, Transfer] = field(default_factory=dict)
    answers: dict[tuple[str, str], Kept] = field(default_factory=dict)
    operations: dict[str, Operation] = field(default_factory=dict)
    offsets: dict[int, int] = field(default_factory=dict)

    def copy(self) -> Rows:
        """Return all tables as they are."""
        return Rows(*(getattr(self, each.name).copy() for each in fields(self)))

    def take(self, other: Rows) -> None:
        """Become as another."""
        for each in fields(self):
            setattr(self, each.name, getattr(other, each.name))

    def level(self, level_id: int) -> StockLevel:
        """Find a level by its id."""
        return next(level for level in self.levels.values() if level.id == level_id)

    def late(self, level_id: int, now: datetime) -> bool:
        """Say whether expired holds keep some of a level."""
        return any(
            line.held and line.level_id == level_id
            for reservation in self.reservations.values()
            if reservation.expires_at <= now
            for line in reservation.lines
        )

    def reserve(self, level_id: int, quantity: int, now: datetime) -> None:
        """Reserve more, or less, of a level."""
        level = self.level(level_id)
        self.levels[level.place] = replace(
            level, reserved=level.reserved + quantity, version=level.version + 1, updated_at=now
        )
