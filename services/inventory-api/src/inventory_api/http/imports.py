"""Routes of imports."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from datetime import datetime
from tempfile import SpooledTemporaryFile
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from inventory_api.application.csv_file import Delimiter
from inventory_api.application.importing import Import, ImportMode, ImportState, Wish, digest_of
from inventory_api.application.store import Answer
from inventory_api.domain.gate import Action
from resilience_runtime import Problem

from .back_office import Working
from .fields import In, Out
from .rendering import render, respond
from .services import Key, admitted, caller_of

router = APIRouter(prefix="/v1/imports", tags=["imports and exports"])

SPOOLED_BYTES = 256 * 1024
EXAMPLE = 'sku,location,on_hand,name,unit_cost\nTEE-BLACK-M,central,120,"T-shirt, black, M",4.20\n'


class How(In):
    """How to take a file."""

    mode: ImportMode = Field(
        default=ImportMode.ATOMIC, description="every row or none; or those that are right"
    )
    dry_run: bool = Field(default=False, description="check everything, change nothing")
    delimiter: Delimiter = Field(default=Delimiter.COMMA, description="what parts the cells")


class RowErrorOut(Out):
    """What is wrong with a row."""

    line: int = Field(description="counted from 1, the header, as editors do", examples=[3])
    column: str | None = Field(examples=["on_hand"])
    code: str = Field(examples=["not_a_quantity"])
    message: str


class ImportOut(Out):
    """An import. `changed` + `unchanged` + `failed` = `rows`; `errors` are the first hundred of the failed."""

    id: str
    status: ImportState
    mode: ImportMode
    dry_run: bool
    rows: int
    changed: int
    unchanged: int
    failed: int
    errors: list[RowErrorOut]
    created_at: datetime
    finished_at: datetime | None


_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"text/csv": {"schema": {"type": "string"}, "example": EXAMPLE}},
    }
}


@router.post(
    "",
    status_code=201,
    response_model=ImportOut,
    dependencies=[Depends(admitted(Action.BULK))],
    openapi_extra=_BODY,
    responses={
        200: {"model": ImportOut, "description": "a dry run: what would have been done"},
        422: {"description": "refused: `errors` names lines and columns; nothing was taken"},
    },
)
async def add_import(
    request: Request,
    office: Working,
    how: Annotated[How, Query()],
    key: Key = None,
) -> Response:
    """Take a CSV file of SKUs and of what is on hand; the first line names the columns.

    `on_hand` is a count: it replaces what is there. An empty cell leaves a value as it is. A SKU that does not exist
    is added when its row has a name; a location must exist.
    """
    with SpooledTemporaryFile(SPOOLED_BYTES) as file:
        async for chunk in request.stream():
            file.write(chunk)
        wish = Wish(how.mode, how.dry_run, caller_of(request), key, await asyncio.to_thread(digest_of, file))
        done = await office.imports.run(file, how.delimiter, wish)
    return respond(_answer(done))


@router.get("/{import_id}", response_model=ImportOut)
async def show_import(office: Working, import_id: str) -> Response:
    """Show an import and what became of it."""
    return respond(render(import_out(await office.imports.show(import_id))))


def import_out(done: Import) -> ImportOut:
    """Show an import."""
    values = asdict(done)
    return ImportOut(status=values.pop("state"), **values)


def _answer(done: Import) -> Answer:
    headers = {"Location": f"/v1/imports/{done.id}"}
    if done.state is ImportState.REFUSED:
        errors = [asdict(error) for error in done.errors]
        detail = f"{done.failed} of {done.rows} rows are wrong, so that nothing was taken"
        raise Problem(422, "import_refused", detail, headers=headers, failed=done.failed, errors=errors)
    return render(import_out(done), 200 if done.dry_run else 201, headers)
