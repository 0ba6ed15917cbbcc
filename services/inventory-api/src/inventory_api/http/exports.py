"""Routes of exports."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime

from fastapi import APIRouter, Depends
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from inventory_api.application.exporting import Export, ExportState
from inventory_api.domain.gate import Action

from .back_office import Working
from .fields import In, LocationCode, Out
from .listing import LocationFilter
from .rendering import render, respond
from .services import Key, admitted, caller_of

router = APIRouter(prefix="/v1/exports", tags=["imports and exports"])
ADMITTED = [Depends(admitted(Action.EXPORT))]


class ExportIn(In):
    """What to export."""

    location: LocationCode | None = Field(default=None, description="one location; by default all")


class ExportOut(Out):
    """An export to S3. `url` is there once it is done, and good for an hour."""

    id: str
    status: ExportState
    location: str | None
    rows: int | None
    bytes: int | None
    created_at: datetime
    finished_at: datetime | None
    url: str | None = None


@router.get(
    "/stock.csv",
    dependencies=ADMITTED,
    response_class=StreamingResponse,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
)
async def stream_stock(office: Working, location: LocationFilter = None) -> StreamingResponse:
    """Stream stock as CSV, as of one instant; cells that a spreadsheet would run begin with an apostrophe."""
    pieces = office.exports.stream(location)
    # The header line alone needs no database; an absent one is to be a 503 rather than a cut file.
    first = [await anext(pieces), await anext(pieces, b"")]
    headers = {"Content-Disposition": 'attachment; filename="stock.csv"', "Cache-Control": "no-store"}
    return StreamingResponse(_all(first, pieces), headers=headers, media_type="text/csv; charset=utf-8")


async def _all(first: list[bytes], pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    for piece in first:
        yield piece
    async for piece in pieces:
        yield piece


@router.post("", status_code=202, response_model=ExportOut, dependencies=ADMITTED)
async def add_export(
    request: Request, office: Working, body: ExportIn | None = None, key: Key = None
) -> Response:
    """Ask for a file in S3. It is written once the database and S3 are there."""
    export = await office.exports.add(caller_of(request), key, body.location if body else None)
    return respond(render(_out(export, None), 202, {"Location": f"/v1/exports/{export.id}"}))


@router.get("/{export_id}", response_model=ExportOut)
async def show_export(office: Working, export_id: str) -> Response:
    """Show an export and, once it is done, where it is."""
    export, url = await office.exports.show(export_id)
    return respond(render(_out(export, url), headers={"Cache-Control": "no-store"}))


def _out(export: Export, url: str | None) -> ExportOut:
    return ExportOut(
        id=export.id,
        status=export.state,
        location=export.location,
        rows=export.rows,
        bytes=export.bytes,
        created_at=export.created_at,
        finished_at=export.finished_at,
        url=url,
    )
