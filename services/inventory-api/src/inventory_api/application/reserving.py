"""Hold stock, confirm it, release it. The transaction is given; the caller commits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from inventory_api.domain.adjustment import Adjustment, Reason
from inventory_api.domain.errors import (
    InsufficientStockError,
    ReservationClosedError,
    ReservationExpiredError,
    Shortage,
    UnknownLocationError,
    UnknownReservationError,
    UnknownSkuError,
)
from inventory_api.domain.reservation import (
    HeldLine,
    Reservation,
    ReservationState,
    Settlement,
    settle,
    settled,
)
from inventory_api.domain.stock import Line, Place, StockLevel, demand

from .store import Transaction


@dataclass(frozen=True, slots=True)
class Seen:
    """A reservation and the authority's time at which it was so."""

    reservation: Reservation
    at: datetime


async def reserve(transaction: Transaction, owner_ref: str, lines: Sequence[Line], ttl_s: int) -> Seen:
    """Hold all the lines, or none.

    Raises:
        InsufficientStockError: with the lines that fall short.
        UnknownSkuError, UnknownLocationError: a line names one.
    """
    wanted = demand(lines)
    levels = await lock_or_open(transaction, list(wanted))
    shortages = _shortages(wanted, levels)
    held = [HeldLine(levels[place].id, place, quantity, quantity) for place, quantity in wanted.items()]
    if shortages or not await transaction.levels.hold({line.level_id: line.quantity for line in held}):
        raise InsufficientStockError(shortages)
    reservation = await transaction.reservations.add(owner_ref, held, ttl_s)
    return Seen(reservation, reservation.created_at)


async def reserve_plainly(
    transaction: Transaction, owner_ref: str, lines: Sequence[Line], ttl_s: int
) -> Seen | None:
    """Hold lines of one place in one step; None where there is more to it, for `reserve`."""
    wanted = demand(lines)
    if len(wanted) != 1:
        return None
    ((place, quantity),) = wanted.items()
    reservation = await transaction.reservations.hold_plainly(owner_ref, place, quantity, ttl_s)
    return Seen(reservation, reservation.created_at) if reservation else None


async def check_known(transaction: Transaction, places: Sequence[Place]) -> None:
    """Refuse names that do not exist.

    Raises:
        UnknownSkuError, UnknownLocationError: naming the first one.
    """
    if not places:
        return
    skus = {place.sku for place in places}
    for sku in sorted(skus - await transaction.catalogue.known_skus(sorted(skus))):
        raise UnknownSkuError(f"there is no SKU {sku}")
    codes = {place.location for place in places}
    for code in sorted(codes - await transaction.catalogue.known_locations(sorted(codes))):
        raise UnknownLocationError(f"there is no location {code}")


async def lock_or_open(transaction: Transaction, places: Sequence[Place]) -> dict[Place, StockLevel]:
    """Lock the levels of places in their order; those that have none yet get one.

    Raises:
        UnknownSkuError, UnknownLocationError: a place names one.
    """
    levels = await transaction.levels.lock(places)
    missing = [place for place in places if place not in levels]
    if missing:
        await check_known(transaction, missing)
        for place in sorted(missing):
            await transaction.levels.open(place)
        levels = await transaction.levels.lock(places)
    return levels


def _shortages(wanted: Mapping[Place, int], levels: Mapping[Place, StockLevel]) -> list[Shortage]:
    found = []
    for place, quantity in wanted.items():
        holdable = levels[place].holdable
        if holdable < quantity:
            found.append(Shortage(place.sku, place.location, quantity, holdable))
    return found


async def settle_reservation(
    transaction: Transaction,
    reservation_id: str,
    settlement: Settlement,
    lines: Sequence[Line] | None,
    actor: str,
) -> Seen | ReservationExpiredError:
    """Confirm or release what a reservation holds, or a part of it.

    An expired one gives its stock back here and is returned as an error rather than raised, because that
    change must stay.

    Raises:
        UnknownReservationError, ReservationClosedError, NotHeldError: nothing changes.
    """
    locked = await transaction.levels.lock_reservation(reservation_id)
    if locked is None:
        raise UnknownReservationError
    reservation, now = locked
    try:
        taken = settle(reservation, settlement, None if lines is None else demand(lines), now)
    except ReservationExpiredError as expired:
        await transaction.reservations.expire(reservation.id)
        return expired
    if taken:
        reservation = await _take(transaction, reservation, settlement, taken, actor=actor, now=now)
    return Seen(reservation, now)


async def settle_plainly(
    transaction: Transaction, reservation_id: str, settlement: Settlement, actor: str
) -> Seen | None:
    """Settle a hold of one place whole, in one step; None where there is more to it, for `settle_reservation`."""
    done = await transaction.reservations.settle_plainly(reservation_id, settlement, actor)
    return Seen(*done) if done else None


async def extend_reservation(
    transaction: Transaction, reservation_id: str, ttl_s: int
) -> Seen | ReservationExpiredError:
    """Let a reservation last `ttl_s` from now, never shorter than before; an expired one as in settling.

    Raises:
        UnknownReservationError, ReservationClosedError: nothing changes.
    """
    locked = await transaction.levels.lock_reservation(reservation_id)
    if locked is None:
        raise UnknownReservationError
    reservation, now = locked
    state = reservation.state_at(now)
    if state is ReservationState.EXPIRED:
        await transaction.reservations.expire(reservation.id)
        return ReservationExpiredError()
    if state.final:
        raise ReservationClosedError(f"the reservation is {state}")
    until = await transaction.reservations.extend(reservation.id, ttl_s)
    return Seen(replace(reservation, expires_at=until), now)


async def _take(
    transaction: Transaction,
    reservation: Reservation,
    settlement: Settlement,
    taken: Mapping[Place, int],
    *,
    actor: str,
    now: datetime,
) -> Reservation:
    ids = {line.place: line.level_id for line in reservation.lines}
    quantities = {ids[place]: quantity for place, quantity in taken.items()}
    after = settled(reservation, settlement, taken)
    await transaction.reservations.settle(after, settlement, quantities)
    if settlement is Settlement.CONFIRM:
        for place, quantity in taken.items():
            sale = Adjustment(
                place,
                -quantity,
                Reason.SALE,
                actor,
                now,
                reservation.owner_ref,
                reservation_id=reservation.id,
            )
            await transaction.levels.change(ids[place], sale)
    return after


async def find_reservation(transaction: Transaction, reservation_id: str) -> Seen:
    """Return a reservation as it is now.

    Raises:
        UnknownReservationError: there is none.
    """
    found = await transaction.reservations.find(reservation_id)
    if found is None:
        raise UnknownReservationError
    return Seen(*found)
