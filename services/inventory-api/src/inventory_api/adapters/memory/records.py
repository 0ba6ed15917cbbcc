"""Reservations, ledger, kept answers and operations in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import uuid4

from inventory_api.application.store import Kept
from inventory_api.domain.adjustment import Adjustment, LedgerEntry, Reason
from inventory_api.domain.count import Since
from inventory_api.domain.operation import Operation
from inventory_api.domain.reservation import (
    HeldLine,
    Reservation,
    ReservationState,
    Settlement,
    settle,
    settled,
)
from inventory_api.domain.stock import Place
from resilience_runtime import Clock

from .rows import Rows
from .stock import MemoryLevels


class MemoryReservations:
    """Holds and their lines."""

    def __init__(self, rows: Rows, clock: Clock) -> None:
        self._rows = rows
        self._clock = clock

    async def add(self, owner_ref: str, lines: Sequence[HeldLine], ttl_s: int) -> Reservation:
        """Do as the port says."""
        now = self._clock.now()
        reservation = Reservation(
            str(uuid4()),
            owner_ref,
            ReservationState.ACTIVE,
            tuple(lines),
            now,
            now + timedelta(seconds=ttl_s),
        )
        self._rows.reservations[reservation.id] = reservation
        return reservation

    async def hold_plainly(
        self, owner_ref: str, place: Place, quantity: int, ttl_s: int
    ) -> Reservation | None:
        """Do as the port says."""
        level, now = self._rows.levels.get(place), self._clock.now()
        if level is None or level.holdable < quantity or self._rows.late(level.id, now):
            return None
        self._rows.reserve(level.id, quantity, now)
        return await self.add(owner_ref, [HeldLine(level.id, place, quantity, quantity)], ttl_s)

    async def find(self, reservation_id: str) -> tuple[Reservation, datetime] | None:
        """Do as the port says."""
        found = self._rows.reservations.get(reservation_id)
        return (found, self._clock.now()) if found else None

    async def settle_plainly(
        self, reservation_id: str, settlement: Settlement, actor: str
    ) -> tuple[Reservation, datetime] | None:
        """Do as the port says."""
        found, now = self._rows.reservations.get(reservation_id), self._clock.now()
        if found is None or len(found.lines) != 1 or found.state_at(now) is not ReservationState.ACTIVE:
            return None
        ((place, quantity),) = settle(found, settlement, None, now).items()
        after, (line,) = settled(found, settlement, {place: quantity}), found.lines
        await self.settle(after, settlement, {line.level_id: quantity})
        if settlement is Settlement.CONFIRM:
            sale = Adjustment(
                place, -quantity, Reason.SALE, actor, now, found.owner_ref, reservation_id=found.id
            )
            await MemoryLevels(self._rows, self._clock).change(line.level_id, sale)
        return after, now

    async def settle(
        self, reservation: Reservation, _settlement: Settlement, quantities: Mapping[int, int]
    ) -> None:
        """Do as the port says."""
        for number, quantity in quantities.items():
            self._rows.reserve(number, -quantity, self._clock.now())
        self._rows.reservations[reservation.id] = reservation

    async def extend(self, reservation_id: str, ttl_s: int) -> datetime:
        """Do as the port says."""
        reservation = self._rows.reservations[reservation_id]
        until = max(reservation.expires_at, self._clock.now() + timedelta(seconds=ttl_s))
        self._rows.reservations[reservation_id] = replace(reservation, expires_at=until)
        return until

    async def expire(self, reservation_id: str) -> None:
        """Do as the port says."""
        reservation, now = self._rows.reservations[reservation_id], self._clock.now()
        for line in reservation.lines:
            self._rows.reserve(line.level_id, -line.held, now)
        lines = tuple(replace(line, held=0, expired=line.expired + line.held) for line in reservation.lines)
        self._rows.reservations[reservation_id] = replace(
            reservation, state=ReservationState.EXPIRED, lines=lines
        )


class MemoryLedger:
    """What changed."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    async def entries(
        self, sku: str | None, location: str | None, after_id: int, limit: int
    ) -> list[LedgerEntry]:
        """Do as the port says."""
        found = [entry for entry in self._rows.ledger if entry.id > after_id]
        return [
            entry
            for entry in found
            if sku in {None, entry.place.sku} and location in {None, entry.place.location}
        ][:limit]

    async def since(self, level_id: int, moment: datetime) -> Since:
        """Do as the port says."""
        place = self._rows.level(level_id).place
        later = [e for e in self._rows.ledger if e.place == place and e.occurred_at > moment]
        return Since(sum(e.delta for e in later), any(e.reason is Reason.COUNT for e in later))

    async def sold(self, level_id: int, reservation_id: str | None, reference: str | None) -> int:
        """Do as the port says."""
        place, entries = self._rows.level(level_id).place, {e.id: e for e in self._rows.ledger}
        found = [entries[number] for number, reservation in self._rows.sales if reservation == reservation_id]
        of_place = [e for e in found if e.place == place and (reservation_id or e.reference == reference)]
        return -sum(e.delta for e in of_place)

    async def note_batch(self, batch_id: str, *, atomic: bool, asked: int, done: int) -> None:
        """Do nothing: nobody audits memory."""


class MemoryAnswers:
    """Kept answers."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    async def claim(self, caller: str, key: str, *, wait: bool = False) -> Kept | None:  # noqa: ARG002 - one transaction at a time: nobody else can have it
        """Do as the port says."""
        return self._rows.answers.get((caller, key))

    async def keep(self, caller: str, key: str, kept: Kept) -> None:
        """Do as the port says."""
        self._rows.answers[caller, key] = kept


class MemoryCommands:
    """Outcomes of the command log."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    async def operation(self, command_id: str) -> Operation | None:
        """Do as the port says."""
        return self._rows.operations.get(command_id)

    async def finish(self, operation: Operation, command_json: str) -> None:  # noqa: ARG002 - kept for people, who do not read memory
        """Do as the port says."""
        self._rows.operations.setdefault(operation.id, operation)

    async def exceptions(self, after: str, limit: int) -> list[Operation]:
        """Do as the port says."""
        operations = self._rows.operations
        names = sorted(name for name, operation in operations.items() if operation.code and name > after)
        return [operations[name] for name in names][:limit]

    async def offsets(self) -> dict[int, int]:
        """Do as the port says."""
        return dict(self._rows.offsets)

    async def lock_offset(self, partition: int) -> int:
        """Do as the port says."""
        return self._rows.offsets.setdefault(partition, 0)

    async def move_offset(self, partition: int, next_offset: int) -> None:
        """Do as the port says."""
        self._rows.offsets[partition] = next_offset
