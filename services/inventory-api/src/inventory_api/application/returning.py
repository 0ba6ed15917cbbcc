"""Take back what was sold, at most once. The transaction is given; the caller commits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from inventory_api.domain.adjustment import Adjustment, Reason
from inventory_api.domain.errors import NotSoldError
from inventory_api.domain.stock import Line, demand

from .adjusting import Adjusted
from .reserving import check_known, find_reservation
from .store import Transaction


@dataclass(frozen=True, slots=True)
class Sale:
    """Which sale comes back: that of a reservation, or those without one that bore a reference."""

    reservation_id: str | None
    reference: str | None


async def take_back(
    transaction: Transaction, sale: Sale, lines: Sequence[Line], actor: str
) -> list[Adjusted]:
    """Put what comes back on hand again: all lines, or none.

    Raises:
        UnknownReservationError, UnknownSkuError, UnknownLocationError: it names one.
        NotSoldError: more would come back than was sold.
    """
    wanted = demand(lines)
    reference = sale.reference
    if sale.reservation_id:
        seen = await find_reservation(transaction, sale.reservation_id)
        reference = seen.reservation.owner_ref
    levels = await transaction.levels.lock(list(wanted))
    await check_known(transaction, [place for place in wanted if place not in levels])
    now = await transaction.now()
    entries = []
    for place, quantity in wanted.items():
        sold = 0
        if place in levels:
            sold = await transaction.ledger.sold(levels[place].id, sale.reservation_id, sale.reference)
        if quantity > sold:
            raise NotSoldError(f"{sold} of {place.sku} at {place.location} can come back")
        change = Adjustment(
            place, quantity, Reason.RETURN, actor, now, reference, reservation_id=sale.reservation_id
        )
        entries.append(await transaction.levels.change(levels[place].id, change))
    after = await transaction.levels.lock(list(wanted))
    return [Adjusted(entry, after[entry.place]) for entry in entries]
