"""A transfer: stock on its way from one location to another. What has left and not arrived is in transit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from .adjustment import Reason
from .errors import InvalidTransferError, NotInTransitError, TransferClosedError
from .stock import Place


class TransferState(StrEnum):
    """Where a transfer stands; the last two are final."""

    DRAFT = "DRAFT"
    SHIPPED = "SHIPPED"
    RECEIVED = "RECEIVED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True)
class TransferLine:
    """One SKU's share; shipped = in transit + received + returned + lost."""

    sku: str
    quantity: int
    shipped: int = 0
    received: int = 0
    returned: int = 0
    lost: int = 0

    @property
    def in_transit(self) -> int:
        """What has left the source and is nowhere else yet."""
        return self.shipped - self.received - self.returned - self.lost


@dataclass(frozen=True, slots=True)
class NewTransfer:
    """A transfer to be added: quantity by SKU."""

    source: str
    destination: str
    quantities: Mapping[str, int]
    reference: str | None = None

    def __post_init__(self) -> None:
        if self.source == self.destination:
            raise InvalidTransferError


@dataclass(frozen=True, slots=True)
class Transfer:
    """A transfer with its lines, as the authority knows it."""

    id: str
    source: str
    destination: str
    state: TransferState
    lines: tuple[TransferLine, ...]
    reference: str | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Move:
    """A change of what is on hand that a step makes."""

    place: Place
    delta: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class Step:
    """The transfer after a step, what it moves, and by how much `incoming` of a place changes."""

    transfer: Transfer
    moves: tuple[Move, ...] = ()
    incoming: tuple[tuple[Place, int], ...] = ()


TakeStep = Callable[[Transfer], Step]


def ship(transfer: Transfer) -> Step:
    """Send all lines off.

    Raises:
        TransferClosedError: it has left, or was cancelled.
    """
    if transfer.state is not TransferState.DRAFT:
        raise TransferClosedError(f"the transfer is {transfer.state}")
    lines = tuple(replace(line, shipped=line.quantity) for line in transfer.lines)
    return Step(
        replace(transfer, state=TransferState.SHIPPED, lines=lines),
        tuple(Move(Place(line.sku, transfer.source), -line.shipped, Reason.TRANSFER_OUT) for line in lines),
        tuple((Place(line.sku, transfer.destination), line.shipped) for line in lines),
    )


def receive(transfer: Transfer, wanted: Mapping[str, int] | None, *, close: bool) -> Step:
    """Take in what arrived: so much of each SKU, or all that is in transit.

    With `close`, what is in transit still is lost: it arrives on paper and is written off at the destination.

    Raises:
        TransferClosedError: it has not left, or is closed already.
        NotInTransitError: more arrives than is in transit.
    """
    if transfer.state is TransferState.RECEIVED and wanted is None:
        return Step(transfer)
    if transfer.state is not TransferState.SHIPPED:
        raise TransferClosedError(f"the transfer is {transfer.state}")
    arrived = {line.sku: line.in_transit for line in transfer.lines} if wanted is None else wanted
    _check_in_transit(transfer, arrived)
    lost = {line.sku: line.in_transit - arrived.get(line.sku, 0) if close else 0 for line in transfer.lines}
    lines = tuple(
        replace(line, received=line.received + arrived.get(line.sku, 0), lost=line.lost + lost[line.sku])
        for line in transfer.lines
    )
    moves, incoming = [], []
    for line in transfer.lines:
        place, came = Place(line.sku, transfer.destination), arrived.get(line.sku, 0) + lost[line.sku]
        if came:
            moves.append(Move(place, came, Reason.TRANSFER_IN))
            incoming.append((place, -came))
        if lost[line.sku]:
            moves.append(Move(place, -lost[line.sku], Reason.LOSS))
    state = TransferState.SHIPPED if any(line.in_transit for line in lines) else TransferState.RECEIVED
    return Step(replace(transfer, state=state, lines=lines), tuple(moves), tuple(incoming))


def cancel(transfer: Transfer) -> Step:
    """Give up: what is in transit goes back to the source, what has arrived stays.

    Raises:
        TransferClosedError: all of it has arrived.
    """
    if transfer.state is TransferState.CANCELLED:
        return Step(transfer)
    if transfer.state is TransferState.RECEIVED:
        raise TransferClosedError(f"the transfer is {transfer.state}")
    back = [line for line in transfer.lines if line.in_transit]
    lines = tuple(replace(line, returned=line.returned + line.in_transit) for line in transfer.lines)
    return Step(
        replace(transfer, state=TransferState.CANCELLED, lines=lines),
        tuple(Move(Place(line.sku, transfer.source), line.in_transit, Reason.TRANSFER_IN) for line in back),
        tuple((Place(line.sku, transfer.destination), -line.in_transit) for line in back),
    )


def ship_and_receive(transfer: Transfer) -> Step:
    """Do both at once: nothing is in transit in between.

    Raises:
        TransferClosedError: it has left, or was cancelled.
    """
    shipped = ship(transfer)
    received = receive(shipped.transfer, None, close=False)
    return Step(received.transfer, shipped.moves + received.moves)


def _check_in_transit(transfer: Transfer, arrived: Mapping[str, int]) -> None:
    there = {line.sku: line.in_transit for line in transfer.lines}
    for sku, quantity in arrived.items():
        if quantity > there.get(sku, 0):
            raise NotInTransitError(f"{there.get(sku, 0)} of {sku} are in transit")
