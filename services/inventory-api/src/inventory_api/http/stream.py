"""The route of the event stream of stock."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query
from starlette.responses import Response

from inventory_api.domain.news import Choice, Topical
from resilience_runtime import Problem

from .fields import LocationCode, SkuText
from .live import Living

router = APIRouter(prefix="/v1", tags=["live"])

FULL_RETRY_S = 5
SKUS_MOST, LOCATIONS_MOST = 100, 20
ID_MOST = 2_000

_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
        "description": "events `open`, `low`, `back` and `availability`; a comment each 15 s",
    }
}


@router.get("/stream", response_class=Response, responses=_ANSWERS)
async def stream(
    live: Living,
    sku: Annotated[list[SkuText], Query(max_length=SKUS_MOST, description="only these")] = [],  # noqa: B006 - FastAPI copies
    location: Annotated[list[LocationCode], Query(max_length=LOCATIONS_MOST, description="only here")] = [],  # noqa: B006
    kinds: Annotated[
        list[Topical], Query(max_length=len(Topical), description="only this kind of news")
    ] = [],  # noqa: B006
    last_event_id: Annotated[
        str | None, Header(max_length=ID_MOST, description="the id of the last event that was received")
    ] = None,
) -> Response:
    """Follow low stock, what is back in stock, and changes of availability, as server-sent events.

    `open` comes first: `resumed` says that everything since `Last-Event-ID` follows; `missed` that some of it is not kept
    any more, so that stock has to be read again.
    """
    live.check_reading()
    if live.stream.streams.full:
        retry = {"Retry-After": str(FULL_RETRY_S)}
        raise Problem(
            503, "streams_full", "Too many streams are open here.", title="Streams full", headers=retry
        )
    return live.stream.opened(Choice.of(kinds, sku, location), last_event_id)
