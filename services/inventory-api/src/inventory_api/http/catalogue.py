"""Routes of SKUs and locations."""

from __future__ import annotations

from base64 import b64decode, urlsafe_b64encode
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from inventory_api.application.answering import answer
from inventory_api.application.store import Answer, Transaction
from inventory_api.domain.errors import InventoryError
from inventory_api.domain.sku import Location, NewLocation, NewSku, Sku
from resilience_runtime import Problem

from .conditional import respond_unless_known
from .errors import refused_answer
from .rendering import freshness, location_out, render, respond, sku_out
from .schemas import LocationIn, LocationOut, LocationPage, SkuIn, SkuOut, SkuPage
from .services import Key, Serving, identify

router = APIRouter(prefix="/v1", tags=["catalogue"])

Limit = Annotated[int, Query(ge=1, le=200)]
Cursor = Annotated[str | None, Query(max_length=700, description="`next_cursor` of the page before")]


def write_cursor(text: str) -> str:
    """Return a position as an opaque cursor."""
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(cursor: str | None) -> str:
    """Return the position of a cursor.

    Raises:
        Problem: 422, it is none of ours.
    """
    if cursor is None:
        return ""
    try:
        text = b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except ValueError:
        text = "\x00"
    if "\x00" in text:
        raise Problem(422, "invalid_cursor", "the cursor is not one of ours")
    return text


@router.post("/skus", status_code=201, response_model=SkuOut)
async def add_sku(request: Request, services: Serving, body: SkuIn, key: Key = None) -> Response:
    """Add a SKU."""
    new = NewSku(**body.model_dump())

    async def work(transaction: Transaction) -> Sku:
        return await transaction.catalogue.add_sku(new)

    def show(done: Sku | InventoryError) -> Answer:
        if isinstance(done, InventoryError):
            return refused_answer(done, request.url.path)
        return render(sku_out(done), 201, {"Location": f"/v1/skus/{quote(done.sku, safe='')}"})

    return respond(await answer(services.store, identify(request, key, body), work, show))


@router.get("/skus", response_model=SkuPage)
async def list_skus(services: Serving, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """List SKUs in the order of their text."""
    after = read_cursor(cursor)
    async with services.store.reading() as transaction:
        found = await transaction.catalogue.skus(after, limit + 1)
    page = found[:limit]
    following = write_cursor(page[-1].sku) if len(found) > limit else None
    return respond(render(SkuPage(items=[sku_out(sku) for sku in page], next_cursor=following)))


@router.get("/skus/{sku}", response_model=SkuOut)
async def show_sku(request: Request, services: Serving, sku: str) -> Response:
    """Show a SKU; as last known when the database is away."""
    reading = await services.stock.one(sku)
    return respond_unless_known(request, sku_out(reading.stock.sku), freshness([reading]))


@router.post("/locations", status_code=201, response_model=LocationOut)
async def add_location(request: Request, services: Serving, body: LocationIn, key: Key = None) -> Response:
    """Add a location."""
    new = NewLocation(body.code, body.name, body.type)

    async def work(transaction: Transaction) -> Location:
        return await transaction.catalogue.add_location(new)

    def show(done: Location | InventoryError) -> Answer:
        if isinstance(done, InventoryError):
            return refused_answer(done, request.url.path)
        return render(location_out(done), 201)

    return respond(await answer(services.store, identify(request, key, body), work, show))


@router.get("/locations", response_model=LocationPage)
async def list_locations(services: Serving, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """List locations in the order of their code."""
    after = read_cursor(cursor)
    async with services.store.reading() as transaction:
        found = await transaction.catalogue.locations(after, limit + 1)
    page = found[:limit]
    following = write_cursor(page[-1].code) if len(found) > limit else None
    body = LocationPage(items=[location_out(location) for location in page], next_cursor=following)
    return respond(render(body))
