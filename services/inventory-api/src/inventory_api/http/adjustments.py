"""Routes of adjustments, and of those that wait."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from inventory_api.application.adjusting import Adjusted, adjust
from inventory_api.application.answering import Request as Asked
from inventory_api.application.answering import answer
from inventory_api.application.commands import fresh_key
from inventory_api.application.errors import UnavailableError
from inventory_api.application.store import Answer, Transaction
from inventory_api.domain.adjustment import Adjustment
from inventory_api.domain.count import Count
from inventory_api.domain.errors import InventoryError
from inventory_api.domain.gate import Action, Behaviour
from inventory_api.domain.operation import OperationState
from inventory_api.domain.stock import Place

from .catalogue import Cursor, Limit, read_cursor, write_cursor
from .errors import refused_answer
from .rendering import adjustment_answer, operation_out, render, respond
from .schemas import AdjustmentIn, AdjustmentOut, OperationOut, OperationPage
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
        return respond(await accept(services, adjustment, asked))
    try:
        done = await _apply(request, services, adjustment, asked)
    except UnavailableError:
        return respond(await accept(services, adjustment, asked))
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


async def accept(services: Services, write: Adjustment | Count, asked: Asked) -> Answer:
    """Put a write into the command log and answer with its operation."""
    operation = await services.commands.accept(write, asked)
    return render(operation_out(operation), 202, {"Location": f"/v1/operations/{operation.id}"})


@router.get("/operations", response_model=OperationPage)
async def list_exceptions(
    services: Serving,
    status: Annotated[  # noqa: ARG001 - the only list there is, named for what it holds
        Literal[OperationState.EXCEPTION], Query(description="only those that wait for a person")
    ] = OperationState.EXCEPTION,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List the accepted writes that could not be applied, and why."""
    async with services.store.reading() as transaction:
        found = await transaction.commands.exceptions(read_cursor(cursor), limit + 1)
    page = found[:limit]
    following = write_cursor(page[-1].id) if len(found) > limit else None
    items = [operation_out(operation) for operation in page]
    return respond(render(OperationPage(items=items, next_cursor=following)))


@router.get("/operations/{operation_id}", response_model=OperationOut)
async def show_operation(services: Serving, operation_id: str) -> Response:
    """Tell where an accepted write stands."""
    return respond(render(operation_out(await services.commands.operation(operation_id))))
