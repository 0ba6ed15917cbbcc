"""SKUs, locations and stock levels in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime

from inventory_api.domain.adjustment import Adjustment, LedgerEntry, Reason, check_change
from inventory_api.domain.errors import LocationExistsError, SkuExistsError
from inventory_api.domain.reservation import Reservation
from inventory_api.domain.sku import Location, NewLocation, NewSku, Sku, fold
from inventory_api.domain.stock import LowLevel, Place, Stock, StockLevel
from resilience_runtime import Clock

from .rows import Rows


class MemoryCatalogue:
    """SKUs and locations."""

    def __init__(self, rows: Rows, clock: Clock) -> None:
        self._rows = rows
        self._clock = clock

    async def add_sku(self, new: NewSku) -> Sku:
        """Do as the port says."""
        if fold(new.sku) in map(fold, self._rows.skus):
            raise SkuExistsError
        sku = Sku(
            **{each.name: getattr(new, each.name) for each in fields(new)}, created_at=self._clock.now()
        )
        self._rows.skus[sku.sku] = sku
        return sku

    async def skus(self, after: str, limit: int) -> list[Sku]:
        """Do as the port says."""
        return [self._rows.skus[name] for name in sorted(self._rows.skus) if name > after][:limit]

    async def known_skus(self, skus: Sequence[str]) -> set[str]:
        """Do as the port says."""
        return set(skus) & self._rows.skus.keys()

    async def add_location(self, new: NewLocation) -> Location:
        """Do as the port says."""
        if fold(new.code) in map(fold, self._rows.locations):
            raise LocationExistsError
        location = Location(new.code, new.name, new.kind, self._clock.now())
        self._rows.locations[new.code] = location
        return location

    async def locations(self, after: str, limit: int) -> list[Location]:
        """Do as the port says."""
        names = [name for name in sorted(self._rows.locations) if name > after]
        return [self._rows.locations[name] for name in names][:limit]

    async def known_locations(self, codes: Sequence[str]) -> set[str]:
        """Do as the port says."""
        return set(codes) & self._rows.locations.keys()


class MemoryLevels:
    """The counters."""

    def __init__(self, rows: Rows, clock: Clock) -> None:
        self._rows = rows
        self._clock = clock

    async def stock(self, skus: Sequence[str], as_of: datetime) -> dict[str, Stock]:
        """Do as the port says."""
        late = Counter[int]()
        for reservation in self._rows.reservations.values():
            if reservation.expires_at <= self._clock.now():
                late.update({line.level_id: line.held for line in reservation.lines})
        known = {sku: self._rows.skus[sku] for sku in skus if sku in self._rows.skus}
        places = sorted(place for place in self._rows.levels if place.sku in known)
        rows = [self._rows.levels[place] for place in places]
        seen = [replace(level, reserved=level.reserved - late[level.id]) for level in rows]
        return {
            name: Stock(sku, tuple(level for level in seen if level.place.sku == name), as_of)
            for name, sku in known.items()
        }

    async def low(self, after_id: int, limit: int) -> list[LowLevel]:
        """Do as the port says."""
        levels = sorted(self._rows.levels.values(), key=lambda level: level.id)
        found = [level for level in levels if level.available <= level.reorder_point and level.id > after_id]
        return [LowLevel(level, level.updated_at) for level in found[:limit]]

    async def open(self, place: Place) -> None:
        """Do as the port says."""
        if place not in self._rows.levels:
            sku, now = self._rows.skus[place.sku], self._clock.now()
            number = len(self._rows.levels) + 1
            level = StockLevel(
                number, place, 0, 0, 0, sku.safety_stock, sku.reorder_point, 1, now, sku.backorder_limit
            )
            self._rows.levels[place] = level

    async def lock(self, places: Sequence[Place]) -> dict[Place, StockLevel]:
        """Do as the port says."""
        ids = {self._rows.levels[place].id for place in places if place in self._rows.levels}
        for reservation in list(self._rows.reservations.values()):
            if reservation.expires_at <= self._clock.now():
                self._expire(reservation, ids)
        return {place: self._rows.levels[place] for place in places if place in self._rows.levels}

    def _expire(self, reservation: Reservation, ids: set[int]) -> None:
        lines = []
        for line in reservation.lines:
            if line.level_id in ids and line.held:
                self._rows.reserve(line.level_id, -line.held, self._clock.now())
                lines.append(replace(line, held=0, expired=line.expired + line.held))
            else:
                lines.append(line)
        self._rows.reservations[reservation.id] = replace(reservation, lines=tuple(lines))

    async def lock_reservation(self, reservation_id: str) -> tuple[Reservation, datetime] | None:
        """Do as the port says."""
        found = self._rows.reservations.get(reservation_id)
        return (found, self._clock.now()) if found else None

    async def hold(self, quantities: Mapping[int, int]) -> bool:
        """Do as the port says."""
        if any(self._rows.level(number).holdable < quantity for number, quantity in quantities.items()):
            return False
        for number, quantity in quantities.items():
            self._rows.reserve(number, quantity, self._clock.now())
        return True

    async def change(self, level_id: int, adjustment: Adjustment) -> LedgerEntry:
        """Do as the port says."""
        level, now, place = self._rows.level(level_id), self._clock.now(), adjustment.place
        check_change(
            place,
            level.on_hand,
            level.reserved,
            adjustment.delta,
            backorder_limit=level.backorder_limit,
        )
        after = level.on_hand + adjustment.delta
        self._rows.levels[place] = replace(level, on_hand=after, version=level.version + 1, updated_at=now)
        entry = LedgerEntry(
            id=len(self._rows.ledger) + 1,
            place=place,
            sequence=sum(entry.place == place for entry in self._rows.ledger) + 1,
            delta=adjustment.delta,
            before=level.on_hand,
            after=after,
            reason=adjustment.reason,
            reference=adjustment.reference,
            actor=adjustment.actor,
            occurred_at=adjustment.occurred_at,
            recorded_at=now,
        )
        self._rows.ledger.append(entry)
        if adjustment.reason in {Reason.SALE, Reason.RETURN}:
            self._rows.sales.append((entry.id, adjustment.reservation_id))
        return entry

    async def expect(self, level_id: int, delta: int) -> None:
        """Do as the port says."""
        level = self._rows.level(level_id)
        self._write(replace(level, incoming=level.incoming + delta))

    async def set_thresholds(
        self, level_id: int, safety_stock: int, reorder_point: int, backorder_limit: int
    ) -> None:
        """Do as the port says."""
        level = self._rows.level(level_id)
        self._write(
            replace(
                level,
                safety_stock=safety_stock,
                reorder_point=reorder_point,
                backorder_limit=backorder_limit,
            )
        )

    def _write(self, level: StockLevel) -> None:
        self._rows.levels[level.place] = replace(
            level, version=level.version + 1, updated_at=self._clock.now()
        )
