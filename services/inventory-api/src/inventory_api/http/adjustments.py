"""Routes of adjustments, and of those that wait."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from inventory_api.application.adjusting import Adjusted, adjust
from inventory_api.application.answering import Request as Asked
from inventory_api.application.answering import answer
from inventory_api.application.commands import fresh_key
from inventory_api.application.errors import UnavailableError
from inventory_api.application.store import Answer, Transaction
from inventory_api.domain.adjustment import Adjustment
from inventory_api.domain.errors import InventoryError
from inventory_api.domain.gate import Action, Behaviour
from inventory_api.domain.stock import Place

from .errors import refused_answer
from .rendering import adjustment_answer, operation_out, render, respond
from .schemas import AdjustmentIn, AdjustmentOut, OperationOut
from .services import Key, Services, Serving, admitted, caller_of, identify

router = APIRouter(prefix="/v1", tags=["adjustments"])

Admitted = Annotated[Behaviour, Depends(admitted(Action.ADJUST))]


@router.post(
    "/adjustments",
    status_code=201,
    response_model=AdjustmentOut,
    responses={202: {"model": OperationOut, "description": "accepted; applied when the database is back"}},
)
async def add_adjustment(
    request: Request, services: Serving, behaviour: Admitted, body: AdjustmentIn, key: Key = None
) -> Response:
    """Change what is on hand. While the database is away the change is accepted and applied later, once."""
    adjustment = Adjustment(
        place=Place(body.sku, body.location),
        delta=body.delta,
        reason=body.reason,
        actor=caller_of(request),
        occurred_at=body.occurred_at or services.clock.now(),
        reference=body.reference,
    )
    # With a key of its own, a request whose direct answer is lost is still applied once.
    asked = identify(request, key or fresh_key(), body)
    assert asked is not None  # noqa: S101 - there is a key
    if behaviour is Behaviour.REDUCED:
        return respond(await _accept(services, adjustment, asked))
    try:
        done = await _apply(request, services, adjustment, asked)
    except UnavailableError:
        return respond(await _accept(services, adjustment, asked))
    services.stock.changed([body.sku])
    return respond(done)


async def _apply(request: Request, services: Services, adjustment: Adjustment, asked: Asked) -> Answer:
    async def work(transaction: Transaction) -> Adjusted:
        return await adjust(transaction, adjustment)

    def show(done: Adjusted | InventoryError) -> Answer:
        if isinstance(done, InventoryError):
            return refused_answer(done, request.url.path)
        return adjustment_answer(done)

    return await answer(services.store, asked, work, show)


async def _accept(services: Services, adjustment: Adjustment, asked: Asked) -> Answer:
    operation = await services.commands.accept(adjustment, asked)
    return render(operation_out(operation), 202, {"Location": f"/v1/operations/{operation.id}"})


@router.get("/operations/{operation_id}", response_model=OperationOut)
async def show_operation(services: Serving, operation_id: str) -> Response:
    """Tell where an accepted write stands."""
    return respond(render(operation_out(await services.commands.operation(operation_id))))
