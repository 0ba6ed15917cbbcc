"""Move stock between locations. The transaction is given; the caller commits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from inventory_api.domain.adjustment import Adjustment
from inventory_api.domain.errors import InsufficientStockError, Shortage, UnknownTransferError
from inventory_api.domain.stock import Place, StockLevel
from inventory_api.domain.transfer import Move, NewTransfer, Step, TakeStep, Transfer

from .reserving import check_known, lock_or_open
from .store import Transaction


async def plan_transfer(transaction: Transaction, new: NewTransfer) -> Transfer:
    """Add a draft; it moves nothing and holds nothing.

    Raises:
        UnknownSkuError, UnknownLocationError: it names one.
    """
    places = [Place(sku, code) for sku in new.quantities for code in (new.source, new.destination)]
    await check_known(transaction, places)
    return await transaction.transfers.add(new)


async def find_transfer(transaction: Transaction, transfer_id: str, *, lock: bool = False) -> Transfer:
    """Return a transfer.

    Raises:
        UnknownTransferError: there is none.
    """
    found = await transaction.transfers.find(transfer_id, lock=lock)
    if found is None:
        raise UnknownTransferError
    return found


async def advance(transaction: Transaction, transfer_id: str, take: TakeStep, actor: str) -> Transfer:
    """Take a step with a transfer: all its lines, or none.

    Raises:
        UnknownTransferError: there is none.
        TransferClosedError, NotInTransitError: as the step says.
        InsufficientStockError: with the lines whose source has too little that is not held.
    """
    step = take(await find_transfer(transaction, transfer_id, lock=True))
    if not step.moves:
        await transaction.transfers.save(step.transfer)
        return await find_transfer(transaction, transfer_id)
    levels = await lock_or_open(transaction, _places(step))
    _check(step.moves, levels)
    now = await transaction.now()
    for move in step.moves:
        change = Adjustment(
            move.place,
            move.delta,
            move.reason,
            actor,
            now,
            step.transfer.reference,
            transfer_id=step.transfer.id,
        )
        await transaction.levels.change(levels[move.place].id, change)
    for place, delta in step.incoming:
        await transaction.levels.expect(levels[place].id, delta)
    await transaction.transfers.save(step.transfer)
    return await find_transfer(transaction, transfer_id)


def _places(step: Step) -> list[Place]:
    return sorted({move.place for move in step.moves} | {place for place, _ in step.incoming})


def _check(moves: Sequence[Move], levels: Mapping[Place, StockLevel]) -> None:
    free = {place: level.on_hand - level.reserved for place, level in levels.items()}
    shortages = []
    for move in moves:
        if move.delta < 0 and free[move.place] + move.delta < 0:
            place = move.place
            shortages.append(Shortage(place.sku, place.location, -move.delta, max(0, free[place])))
        free[move.place] += move.delta
    if shortages:
        raise InsufficientStockError(shortages)
