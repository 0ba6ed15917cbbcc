"""Routes of counts and batches of adjustments."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from inventory_api.application.answering import answer
from inventory_api.application.batching import Batched, adjust_many
from inventory_api.application.commands import fresh_key
from inventory_api.application.counting import Counted, count_stock
from inventory_api.application.errors import UnavailableError
from inventory_api.application.store import Answer, Transaction
from inventory_api.domain.adjustment import Adjustment
from inventory_api.domain.count import Count
from inventory_api.domain.errors import InventoryError
from inventory_api.domain.gate import Action, Behaviour
from inventory_api.domain.stock import Place

from .adjustments import Admitted, accept
from .errors import refused_answer
from .move_rendering import applied_answer, batch_out
from .move_schemas import BatchIn, BatchMode, BatchOut, CountIn, CountOut
from .rendering import render, respond
from .schemas import OperationOut
from .services import Key, Serving, admitted, caller_of, identify
from .versions import IfMatch, read_version

router = APIRouter(prefix="/v1", tags=["adjustments"])
REDUCED_ROWS = 100


@router.post(
    "/counts",
    status_code=201,
    response_model=CountOut,
    responses={202: {"model": OperationOut, "description": "accepted; applied when the database is back"}},
)
async def add_count(  # noqa: PLR0917 - FastAPI: each is a part of the request
    request: Request,
    services: Serving,
    behaviour: Admitted,
    body: CountIn,
    key: Key = None,
    if_match: IfMatch = None,
) -> Response:
    """Set what is on hand to what was counted; what happened since stays. If-Match makes it compare and set.

    While the database is away a count without If-Match is accepted and applied later, once.
    """
    count = Count(
        Place(body.sku, body.location), body.counted, caller_of(request), body.occurred_at, body.reference
    )
    asked = identify(request, key or fresh_key(), body)
    assert asked is not None  # noqa: S101 - there is a key
    if behaviour is Behaviour.REDUCED and if_match is None:
        return respond(await accept(services, count, asked))
    version = read_version(if_match)

    async def work(transaction: Transaction) -> Counted:
        return await count_stock(transaction, count, version)

    def show(done: Counted | InventoryError) -> Answer:
        if isinstance(done, InventoryError):
            return refused_answer(done, request.url.path)
        return applied_answer(done)

    try:
        done = await answer(services.store, asked, work, show)
    except UnavailableError:
        if if_match is not None:
            raise
        return respond(await accept(services, count, asked))
    services.stock.changed([body.sku])
    return respond(done)


@router.post("/adjustments:batch", response_model=BatchOut)
async def add_batch(
    request: Request,
    services: Serving,
    behaviour: Annotated[Behaviour, Depends(admitted(Action.BULK))],
    body: BatchIn,
    key: Key = None,
) -> Response:
    """Apply adjustments in their order: all or none (`atomic`), or each for itself (`best_effort`)."""
    if behaviour is Behaviour.REDUCED and len(body.items) > REDUCED_ROWS:
        raise services.switches.refusal(Action.BULK)
    now = services.clock.now()
    rows = [
        Adjustment(
            Place(item.sku, item.location),
            item.delta,
            item.reason,
            caller_of(request),
            item.occurred_at or now,
            item.reference,
        )
        for item in body.items
    ]

    async def work(transaction: Transaction) -> Batched:
        return await adjust_many(transaction, rows, atomic=body.mode is BatchMode.ATOMIC)

    def show(done: Batched | InventoryError) -> Answer:
        if isinstance(done, InventoryError):
            return refused_answer(done, request.url.path)
        return render(batch_out(done))

    done = await answer(services.store, identify(request, key, body), work, show)
    services.stock.changed({item.sku for item in body.items})
    return respond(done)
