"""A reservation: stock held for an owner until it is confirmed, released or expires."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from .errors import NotHeldError, ReservationClosedError, ReservationExpiredError
from .stock import Place


class ReservationState(StrEnum):
    """Where a reservation stands; the last three are final."""

    ACTIVE = "ACTIVE"
    PARTIAL = "PARTIAL"
    CONFIRMED = "CONFIRMED"
    RELEASED = "RELEASED"
    EXPIRED = "EXPIRED"

    @property
    def final(self) -> bool:
        """Whether nothing can follow."""
        return self not in {ReservationState.ACTIVE, ReservationState.PARTIAL}


class Settlement(StrEnum):
    """What can be done with held stock."""

    CONFIRM = "CONFIRM"
    RELEASE = "RELEASE"

    @property
    def whole(self) -> ReservationState:
        """The state when everything was settled this way."""
        return ReservationState.CONFIRMED if self is Settlement.CONFIRM else ReservationState.RELEASED


@dataclass(frozen=True, slots=True)
class HeldLine:
    """One place's share; `quantity` = held + confirmed + released + expired."""

    level_id: int
    place: Place
    quantity: int
    held: int
    confirmed: int = 0
    released: int = 0
    expired: int = 0


@dataclass(frozen=True, slots=True)
class Reservation:
    """A reservation with its lines, as the authority knows it."""

    id: str
    owner_ref: str
    state: ReservationState
    lines: tuple[HeldLine, ...]
    created_at: datetime
    expires_at: datetime

    def state_at(self, now: datetime) -> ReservationState:
        """Return the state by the clock: a hold whose time is over is EXPIRED before anyone has tidied it."""
        if self.state.final:
            return self.state
        lost = any(line.expired for line in self.lines)
        return ReservationState.EXPIRED if lost or self.expires_at <= now else self.state


def settle(
    reservation: Reservation,
    settlement: Settlement,
    wanted: Mapping[Place, int] | None,
    now: datetime,
) -> dict[Place, int]:
    """Return what to take from each line; nothing when it was all settled this way before.

    Args:
        reservation: as read under lock.
        settlement: confirm or release.
        wanted: quantity per place, or None for all that is held.
        now: the authority's clock.

    Raises:
        ReservationExpiredError: its time is over.
        ReservationClosedError: it was settled the other way, or in part is wanted of a closed one.
        NotHeldError: more is wanted than is held.
    """
    state = reservation.state_at(now)
    if state is ReservationState.EXPIRED:
        raise ReservationExpiredError
    if state.final:
        if wanted is None and state is settlement.whole:
            return {}
        raise ReservationClosedError(f"the reservation is {state}")
    held = {line.place: line.held for line in reservation.lines}
    if wanted is None:
        return {place: quantity for place, quantity in held.items() if quantity}
    for place, quantity in wanted.items():
        if quantity > held.get(place, 0):
            raise NotHeldError(f"{held.get(place, 0)} of {place.sku} at {place.location} are held")
    return dict(wanted)


def settled(reservation: Reservation, settlement: Settlement, taken: Mapping[Place, int]) -> Reservation:
    """Return a reservation after what `settle` says was taken."""
    lines = tuple(_settled(line, settlement, taken.get(line.place, 0)) for line in reservation.lines)
    return replace(reservation, state=state_after(lines), lines=lines)


def _settled(line: HeldLine, settlement: Settlement, quantity: int) -> HeldLine:
    held = line.held - quantity
    if settlement is Settlement.CONFIRM:
        return replace(line, held=held, confirmed=line.confirmed + quantity)
    return replace(line, held=held, released=line.released + quantity)


def state_after(lines: Sequence[HeldLine]) -> ReservationState:
    """Return the state that the lines of an unexpired reservation give."""
    if not any(line.confirmed or line.released for line in lines):
        return ReservationState.ACTIVE
    if any(line.held for line in lines):
        return ReservationState.PARTIAL
    confirmed = any(line.confirmed for line in lines)
    return ReservationState.CONFIRMED if confirmed else ReservationState.RELEASED
