"""Reservations, ledger, kept answers and operations in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import uuid4

from inventory_api.application.store import Kept
from inventory_api.domain.adjustment import LedgerEntry
from inventory_api.domain.operation import Operation
from inventory_api.domain.reservation import HeldLine, Reservation, ReservationState, Settlement
from resilience_runtime import Clock

from .rows import Rows

_COLUMN = {Settlement.CONFIRM: "confirmed", Settlement.RELEASE: "released"}


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

    async def find(self, reservation_id: str) -> tuple[Reservation, datetime] | None:
        """Do as the port says."""
        found = self._rows.reservations.get(reservation_id)
        return (found, self._clock.now()) if found else None

    async def settle(
        self, reservation_id: str, settlement: Settlement, quantities: Mapping[int, int]
    ) -> tuple[HeldLine, ...]:
        """Do as the port says."""
        column = _COLUMN[settlement]
        return self._move(reservation_id, quantities, column)

    async def expire(self, reservation_id: str) -> None:
        """Do as the port says."""
        held = {line.level_id: line.held for line in self._rows.reservations[reservation_id].lines}
        self._move(reservation_id, held, "expired")
        await self.close(reservation_id, ReservationState.EXPIRED)

    async def close(self, reservation_id: str, state: ReservationState) -> None:
        """Do as the port says."""
        reservation = self._rows.reservations[reservation_id]
        self._rows.reservations[reservation_id] = replace(reservation, state=state)

    def _move(self, reservation_id: str, quantities: Mapping[int, int], column: str) -> tuple[HeldLine, ...]:
        reservation = self._rows.reservations[reservation_id]
        lines = tuple(_moved(line, quantities.get(line.level_id, 0), column) for line in reservation.lines)
        for number, quantity in quantities.items():
            self._rows.reserve(number, -quantity, self._clock.now())
        self._rows.reservations[reservation_id] = replace(reservation, lines=lines)
        return lines


def _moved(line: HeldLine, quantity: int, column: str) -> HeldLine:
    moved = dict.fromkeys(("confirmed", "released", "expired"), 0) | {column: quantity}
    return replace(
        line,
        held=line.held - quantity,
        confirmed=line.confirmed + moved["confirmed"],
        released=line.released + moved["released"],
        expired=line.expired + moved["expired"],
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

    async def lock_offset(self, partition: int) -> int:
        """Do as the port says."""
        return self._rows.offsets.setdefault(partition, 0)

    async def move_offset(self, partition: int, next_offset: int) -> None:
        """Do as the port says."""
        self._rows.offsets[partition] = next_offset
