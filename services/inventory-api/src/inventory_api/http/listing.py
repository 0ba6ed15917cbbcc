"""Routes of lists of stock, and of search."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime, Field
from starlette.requests import Request
from starlette.responses import Response

from inventory_api.application.listing import Filter
from inventory_api.domain.gate import Action, Behaviour
from inventory_api.domain.stock import Bucket, StockLevel, bucket

from .back_office import Working
from .catalogue import read_cursor, write_cursor
from .conditional import respond_unless_known
from .fields import EARLIEST, LATEST, In, Out
from .rendering import level_out, sku_out
from .schemas import LevelOut, SkuOut
from .services import admitted

router = APIRouter(prefix="/v1", tags=["stock"])
NO_NUL = r"^[^\x00]*$"
DIGITS_MOST = 18

LocationFilter = Annotated[str | None, Query(max_length=60, pattern=NO_NUL, examples=["central"])]
KNOWN: dict[int | str, dict[str, Any]] = {304: {"description": "it is what the client has"}}


class StockRow(LevelOut):
    """Stock of a SKU at a location."""

    sku: str


class StockPage(Out):
    """Levels in the order in which they were opened. Go on while there is a cursor: a page may be short, or empty."""

    items: list[StockRow]
    next_cursor: str | None
    stale: bool = Field(description="numbers are left out when true: they would be a promise")


class SearchOut(Out):
    """SKUs found, best first; `source` says who ordered them."""

    items: list[SkuOut]
    source: str = Field(examples=["words", "meaning"])


class Where(In):
    """Which levels to list, and from where on."""

    location: Annotated[str, Field(max_length=60, pattern=NO_NUL, examples=["central"])] | None = None
    category: Annotated[str, Field(max_length=200, pattern=NO_NUL, examples=["apparel"])] | None = None
    status: Bucket | None = None
    updated_since: AwareDatetime | None = Field(default=None, ge=EARLIEST, le=LATEST)
    limit: int = Field(default=50, ge=1, le=200)
    cursor: str | None = Field(default=None, max_length=700, description="`next_cursor` of the page before")


@router.get("/stock", response_model=StockPage, responses=KNOWN)
async def list_stock(
    request: Request,
    office: Working,
    behaviour: Annotated[Behaviour, Depends(admitted(Action.READ_STOCK))],
    where: Annotated[Where, Query()],
) -> Response:
    """List stock levels, by location, category, status or time of the last change."""
    wanted = Filter(where.location, where.category, where.status, where.updated_since)
    page = await office.listing.levels(wanted, position_of(where.cursor), where.limit)
    stale = behaviour is Behaviour.REDUCED
    body = StockPage(
        items=[_row(level, stale=stale) for level in page.levels],
        next_cursor=None if page.following is None else write_cursor(str(page.following)),
        stale=stale,
    )
    return respond_unless_known(request, body, {"Cache-Control": "no-cache"})


@router.get("/search", response_model=SearchOut, responses=KNOWN)
async def search(
    request: Request,
    office: Working,
    behaviour: Annotated[Behaviour, Depends(admitted(Action.SEARCH))],
    q: Annotated[str, Query(min_length=1, max_length=120, pattern=NO_NUL, examples=["black tee"])],
    limit: Annotated[int, Query(ge=1, le=50)] = 20,
) -> Response:
    """Find SKUs by the beginnings of words, by SKU or barcode; ordered by meaning when a model answers in time."""
    found, by_model = await office.search.find(q, limit, behaviour)
    body = SearchOut(items=[sku_out(sku) for sku in found], source="meaning" if by_model else "words")
    return respond_unless_known(request, body, {"Cache-Control": "no-cache"})


def position_of(cursor: str | None) -> int:
    """Return the id that a cursor stands for; 0, the beginning, for none."""
    position = read_cursor(cursor)
    return int(position) if position.isascii() and position.isdigit() and len(position) <= DIGITS_MOST else 0


def _row(level: StockLevel, *, stale: bool) -> StockRow:
    if stale:
        status = bucket(level.available, level.reorder_point)
        return StockRow(sku=level.place.sku, location=level.place.location, status=status)
    return StockRow(sku=level.place.sku, **level_out(level).model_dump())
