"""Routes that read stock."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from inventory_api.domain.gate import Action

from .catalogue import Cursor, Limit, read_cursor, write_cursor
from .conditional import respond_unless_known
from .rendering import availability_out, freshness, ledger_out, render, respond, stock_out
from .schemas import AvailabilityBatch, AvailabilityIn, LedgerPage, StockOut
from .services import Serving, admitted

router = APIRouter(prefix="/v1", tags=["stock"])
NO_NUL = r"^[^\x00]*$"


@router.get("/stock/{sku}", response_model=StockOut, dependencies=[Depends(admitted(Action.READ_STOCK))])
async def show_stock(request: Request, services: Serving, sku: str) -> Response:
    """Show a SKU's stock at each location; as last known, without numbers, when the database is away."""
    reading = await services.stock.one(sku)
    return respond_unless_known(request, stock_out(reading), freshness([reading]))


@router.post(
    "/availability:batch",
    response_model=AvailabilityBatch,
    dependencies=[Depends(admitted(Action.READ_STOCK))],
)
async def availability(services: Serving, body: AvailabilityIn) -> Response:
    """Tell what of up to 200 SKUs can be promised; as last known, in IN, LOW and OUT, when the database is away."""
    found = await services.stock.many(body.skus)
    readings = list(found.values())
    batch = AvailabilityBatch(
        items=[availability_out(reading) for reading in readings],
        not_found=sorted(set(body.skus) - found.keys()),
        as_of=min((reading.stock.as_of for reading in readings), default=services.clock.now()),
        stale=any(reading.stale for reading in readings),
    )
    return respond(render(batch, headers=freshness(readings)))


@router.get("/ledger", response_model=LedgerPage)
async def list_ledger(
    services: Serving,
    sku: Annotated[str | None, Query(max_length=120, pattern=NO_NUL)] = None,
    location: Annotated[str | None, Query(max_length=60, pattern=NO_NUL)] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List what changed, oldest first."""
    position = read_cursor(cursor)
    after_id = int(position) if position.isascii() and position.isdigit() and len(position) < 19 else 0  # noqa: PLR2004 - digits of a bigint
    async with services.store.reading() as transaction:
        found = await transaction.ledger.entries(sku, location, after_id, limit + 1)
    page = found[:limit]
    following = write_cursor(str(page[-1].id)) if len(found) > limit else None
    return respond(render(LedgerPage(items=[ledger_out(entry) for entry in page], next_cursor=following)))
