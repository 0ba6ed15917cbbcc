"""Routes of reservations."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from inventory_api.application.answering import answer
from inventory_api.application.reserving import (
    Seen,
    extend_reservation,
    find_reservation,
    reserve,
    reserve_plainly,
    settle_plainly,
    settle_reservation,
)
from inventory_api.application.store import Answer, Transaction
from inventory_api.domain.errors import InventoryError, ReservationExpiredError
from inventory_api.domain.gate import Action
from inventory_api.domain.reservation import Settlement
from inventory_api.domain.stock import Line, Place

from .errors import refused_answer
from .move_schemas import ExtensionIn
from .rendering import render, reservation_out, respond
from .schemas import LineIn, ReservationIn, ReservationOut, SettlementIn
from .services import Key, Services, Serving, admitted, caller_of, identify

router = APIRouter(prefix="/v1/reservations", tags=["reservations"])

Show = Callable[[Seen | InventoryError], Answer]


def _lines(lines: Sequence[LineIn]) -> list[Line]:
    return [Line(Place(line.sku, line.location), line.quantity) for line in lines]


def _show(request: Request, status: int) -> Show:
    def show(done: Seen | InventoryError) -> Answer:
        if isinstance(done, InventoryError):
            return refused_answer(done, request.url.path)
        headers = {"Location": f"/v1/reservations/{done.reservation.id}"} if status == 201 else {}  # noqa: PLR2004 - HTTP
        return render(reservation_out(done), status, headers)

    return show


@router.post(
    "", status_code=201, response_model=ReservationOut, dependencies=[Depends(admitted(Action.HOLD))]
)
async def hold(request: Request, services: Serving, body: ReservationIn, key: Key = None) -> Response:
    """Hold all the lines or none."""
    lines = _lines(body.lines)

    async def work(transaction: Transaction) -> Seen:
        return await reserve(transaction, body.owner_ref, lines, body.ttl_s)

    async def step(transaction: Transaction) -> Seen | None:
        return await reserve_plainly(transaction, body.owner_ref, lines, body.ttl_s)

    done = await answer(services.store, identify(request, key, body), work, _show(request, 201), step)
    services.stock.changed({line.place.sku for line in lines})
    return respond(done)


@router.get(
    "/{reservation_id}", response_model=ReservationOut, dependencies=[Depends(admitted(Action.SETTLE))]
)
async def show_reservation(services: Serving, reservation_id: str) -> Response:
    """Show a reservation; its state is judged by the database's clock."""
    async with services.store.reading() as transaction:
        seen = await find_reservation(transaction, reservation_id)
    return respond(render(reservation_out(seen)))


@router.post(
    "/{reservation_id}/confirm",
    response_model=ReservationOut,
    dependencies=[Depends(admitted(Action.SETTLE))],
)
async def confirm(
    request: Request,
    services: Serving,
    reservation_id: str,
    body: SettlementIn | None = None,
    key: Key = None,
) -> Response:
    """Sell what is held, or a part of it."""
    return await _settle(
        request, services, reservation_id, Settlement.CONFIRM, body=body or SettlementIn(), key=key
    )


@router.post(
    "/{reservation_id}/release",
    response_model=ReservationOut,
    dependencies=[Depends(admitted(Action.SETTLE))],
)
async def release(
    request: Request,
    services: Serving,
    reservation_id: str,
    body: SettlementIn | None = None,
    key: Key = None,
) -> Response:
    """Give back what is held, or a part of it."""
    return await _settle(
        request, services, reservation_id, Settlement.RELEASE, body=body or SettlementIn(), key=key
    )


@router.post(
    "/{reservation_id}/extend",
    response_model=ReservationOut,
    dependencies=[Depends(admitted(Action.HOLD))],
)
async def extend(
    request: Request,
    services: Serving,
    reservation_id: str,
    body: ExtensionIn | None = None,
    key: Key = None,
) -> Response:
    """Let what is held stay held for `ttl_s` from now; never shorter than before."""
    wanted = body or ExtensionIn()

    async def work(transaction: Transaction) -> Seen | ReservationExpiredError:
        return await extend_reservation(transaction, reservation_id, wanted.ttl_s)

    return respond(await answer(services.store, identify(request, key, wanted), work, _show(request, 200)))


async def _settle(
    request: Request,
    services: Services,
    reservation_id: str,
    settlement: Settlement,
    *,
    body: SettlementIn,
    key: str | None,
) -> Response:
    skus: set[str] = set()

    async def work(transaction: Transaction) -> Seen | ReservationExpiredError:
        lines = None if body.lines is None else _lines(body.lines)
        done = await settle_reservation(transaction, reservation_id, settlement, lines, caller_of(request))
        if isinstance(done, Seen):
            skus.update(line.place.sku for line in done.reservation.lines)
        return done

    async def step(transaction: Transaction) -> Seen | None:
        if body.lines is not None:
            return None
        done = await settle_plainly(transaction, reservation_id, settlement, caller_of(request))
        if done is not None:
            skus.update(line.place.sku for line in done.reservation.lines)
        return done

    shown = _show(request, 200)
    answered = await answer(services.store, identify(request, key, body), work, shown, step, first=True)
    services.stock.changed(skus)
    return respond(answered)
