"""Routes of single stock levels, and of those that are low."""

from __future__ import annotations

from fastapi import APIRouter, Depends
from starlette.responses import Response

from inventory_api.application.adjusting import Thresholds, set_thresholds
from inventory_api.domain.errors import UnknownLocationError
from inventory_api.domain.gate import Action
from inventory_api.domain.stock import Place

from .catalogue import Cursor, Limit, read_cursor, write_cursor
from .move_rendering import low_stock_out
from .move_schemas import LowStockPage, ThresholdsIn
from .rendering import freshness, level_out, render, respond, stock_out
from .schemas import LevelOut
from .services import Serving, admitted
from .versions import IfMatch, IfNoneMatch, etag, required_version

router = APIRouter(prefix="/v1", tags=["stock"])
_DIGITS_MOST = 18


@router.get(
    "/stock/{sku}/locations/{location}",
    response_model=LevelOut,
    dependencies=[Depends(admitted(Action.READ_STOCK))],
    responses={304: {"description": "it is what the client has"}},
)
async def show_level(
    services: Serving, sku: str, location: str, if_none_match: IfNoneMatch = None
) -> Response:
    """Show one level; its ETag is what a change of it needs."""
    reading = await services.stock.one(sku)
    level = next((each for each in stock_out(reading).locations if each.location == location), None)
    if level is None:
        raise UnknownLocationError(f"there is no stock level of {sku} at {location}")
    headers = freshness([reading])
    if level.version is not None:
        headers |= {"ETag": etag(level.version)}
        if if_none_match == headers["ETag"]:
            return Response(status_code=304, headers=headers)
    return respond(render(level, headers=headers))


@router.put(
    "/stock/{sku}/locations/{location}",
    response_model=LevelOut,
    dependencies=[Depends(admitted(Action.MOVE))],
)
async def put_thresholds(
    services: Serving,
    sku: str,
    location: str,
    body: ThresholdsIn,
    if_match: IfMatch = None,
) -> Response:
    """Set a level's thresholds, if it still is as the client has seen it."""
    version = required_version(if_match)
    async with services.store.transaction() as transaction:
        level = await set_thresholds(
            transaction, Place(sku, location), version, Thresholds(**body.model_dump())
        )
    services.stock.changed([sku])
    return respond(render(level_out(level), headers={"ETag": etag(level.version)}))


@router.get("/alerts/low-stock", response_model=LowStockPage)
async def list_low_stock(services: Serving, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """List the levels at or under their reorder point, and since when."""
    position = read_cursor(cursor)
    after_id = (
        int(position) if position.isascii() and position.isdigit() and len(position) <= _DIGITS_MOST else 0
    )
    async with services.store.reading() as transaction:
        found = await transaction.levels.low(after_id, limit + 1)
    page = found[:limit]
    following = write_cursor(str(page[-1].level.id)) if len(found) > limit else None
    return respond(render(LowStockPage(items=[low_stock_out(low) for low in page], next_cursor=following)))
