"""Routes of transfers and returns."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from inventory_api.application.adjusting import Adjusted
from inventory_api.application.answering import answer
from inventory_api.application.moving import advance, find_transfer, plan_transfer
from inventory_api.application.returning import Sale, take_back
from inventory_api.application.store import Answer, Transaction
from inventory_api.domain.errors import InventoryError
from inventory_api.domain.gate import Action
from inventory_api.domain.stock import Line, Place
from inventory_api.domain.transfer import (
    NewTransfer,
    Step,
    TakeStep,
    Transfer,
    cancel,
    receive,
    ship,
    ship_and_receive,
)

from .errors import refused_answer
from .fields import In
from .move_rendering import return_out, transfer_out
from .move_schemas import ReceiptIn, ReturnIn, ReturnOut, TransferIn, TransferLineIn, TransferOut
from .rendering import render, respond
from .services import Key, Services, Serving, admitted, caller_of, identify

router = APIRouter(prefix="/v1", tags=["transfers"])
Allowed = [Depends(admitted(Action.MOVE))]


class NothingIn(In):
    """A body that says nothing."""


def _sum(lines: Sequence[TransferLineIn]) -> dict[str, int]:
    total: dict[str, int] = {}
    for line in lines:
        total[line.sku] = total.get(line.sku, 0) + line.quantity
    return dict(sorted(total.items()))


@router.post("/transfers", status_code=201, response_model=TransferOut, dependencies=Allowed)
async def add_transfer(request: Request, services: Serving, body: TransferIn, key: Key = None) -> Response:
    """Plan a transfer, or with `at_once` make it: then both locations change in one transaction."""
    new = NewTransfer(body.source, body.destination, _sum(body.lines), body.reference)

    async def work(transaction: Transaction) -> Transfer:
        planned = await plan_transfer(transaction, new)
        if not body.at_once:
            return planned
        return await advance(transaction, planned.id, ship_and_receive, caller_of(request))

    def show(done: Transfer | InventoryError) -> Answer:
        if isinstance(done, InventoryError):
            return refused_answer(done, request.url.path)
        return render(transfer_out(done), 201, {"Location": f"/v1/transfers/{done.id}"})

    done = await answer(services.store, identify(request, key, body), work, show)
    services.stock.changed(new.quantities)
    return respond(done)


@router.get("/transfers/{transfer_id}", response_model=TransferOut, dependencies=Allowed)
async def show_transfer(services: Serving, transfer_id: str) -> Response:
    """Show a transfer."""
    async with services.store.reading() as transaction:
        found = await find_transfer(transaction, transfer_id)
    return respond(render(transfer_out(found)))


@router.post("/transfers/{transfer_id}/ship", response_model=TransferOut, dependencies=Allowed)
async def ship_transfer(
    request: Request, services: Serving, transfer_id: str, body: NothingIn | None = None, key: Key = None
) -> Response:
    """Take its lines from the source: all, or none."""
    return await _advance(request, services, transfer_id, ship, body=body or NothingIn(), key=key)


@router.post("/transfers/{transfer_id}/receive", response_model=TransferOut, dependencies=Allowed)
async def receive_transfer(
    request: Request, services: Serving, transfer_id: str, body: ReceiptIn | None = None, key: Key = None
) -> Response:
    """Put what arrived on hand at the destination."""
    receipt = body or ReceiptIn()
    arrived = None if receipt.lines is None else _sum(receipt.lines)

    def step(transfer: Transfer) -> Step:
        return receive(transfer, arrived, close=receipt.close)

    return await _advance(request, services, transfer_id, step, body=receipt, key=key)


@router.post("/transfers/{transfer_id}/cancel", response_model=TransferOut, dependencies=Allowed)
async def cancel_transfer(
    request: Request, services: Serving, transfer_id: str, body: NothingIn | None = None, key: Key = None
) -> Response:
    """Give up: what is in transit goes back to the source."""
    return await _advance(request, services, transfer_id, cancel, body=body or NothingIn(), key=key)


async def _advance(
    request: Request, services: Services, transfer_id: str, step: TakeStep, *, body: In, key: str | None
) -> Response:
    skus: set[str] = set()

    async def work(transaction: Transaction) -> Transfer:
        done = await advance(transaction, transfer_id, step, caller_of(request))
        skus.update(line.sku for line in done.lines)
        return done

    def show(done: Transfer | InventoryError) -> Answer:
        if isinstance(done, InventoryError):
            return refused_answer(done, request.url.path)
        return render(transfer_out(done))

    answered = await answer(services.store, identify(request, key, body), work, show)
    services.stock.changed(skus)
    return respond(answered)


@router.post("/returns", status_code=201, response_model=ReturnOut, dependencies=Allowed)
async def add_return(request: Request, services: Serving, body: ReturnIn, key: Key = None) -> Response:
    """Take back what was sold, at most once."""
    sale = Sale(body.reservation_id, body.reference)
    lines = [Line(Place(line.sku, line.location), line.quantity) for line in body.lines]

    async def work(transaction: Transaction) -> list[Adjusted]:
        return await take_back(transaction, sale, lines, caller_of(request))

    def show(done: list[Adjusted] | InventoryError) -> Answer:
        if isinstance(done, InventoryError):
            return refused_answer(done, request.url.path)
        return render(return_out(done), 201)

    done = await answer(services.store, identify(request, key, body), work, show)
    services.stock.changed({line.place.sku for line in lines})
    return respond(done)
