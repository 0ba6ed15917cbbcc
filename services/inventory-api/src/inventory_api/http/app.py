"""The application: routes, errors, the level on every answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict
from starlette.middleware import Middleware

from resilience_runtime import Readiness, build_app

from . import (
    adjustments,
    catalogue,
    counts,
    exports,
    imports,
    insight,
    listing,
    media,
    reservations,
    stock,
    stream,
    system,
    thresholds,
    transfers,
    webhooks,
)
from .back_office import BackOffice
from .document import describe
from .errors import handle_errors
from .level_header import LevelHeader
from .live import Live
from .measure import Measure, Observe
from .office_errors import handle_office_errors
from .services import Services


class ProblemOut(BaseModel):
    """RFC 9457 problem details."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    code: str
    instance: str


_PROBLEM = {"model": ProblemOut, "content": {"application/problem+json": {}}}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    404: {**_PROBLEM, "description": "there is none"},
    409: {**_PROBLEM, "description": "it contradicts the present state; `code` says how"},
    422: {**_PROBLEM, "description": "the request is not understood, or its Idempotency-Key was used before"},
    503: {**_PROBLEM, "description": "refused for now: which feature, why, since when, and Retry-After"},
}
ROUTERS = (catalogue, stock, thresholds, reservations, adjustments, counts, transfers, media, system)
LIVE_ROUTERS = (stream, webhooks)
OFFICE_ROUTERS = (imports, exports, listing, insight)
IMPORT_BYTES_MOST = 64 * 1024 * 1024
LONG_BODIES = {"/v1/imports": IMPORT_BYTES_MOST}


def build(
    services: Services,
    readiness: Callable[[], Readiness],
    startup: Callable[[], Readiness],
    observe: Observe,
    *,
    guards: Sequence[Middleware] = (),
) -> FastAPI:
    """Build the application over its services; `guards` stand before it, the first outermost."""
    app = build_app(
        "Inventory API",
        readiness,
        startup=startup,
        longer_bodies=LONG_BODIES,
        description="Stock, availability and reservations that keep answering. "
        "Every answer carries the level it was given at in `Resilience-Level`.",
    )
    app.state.services = services
    describe(app)
    handle_errors(app, services.switches)
    for module in ROUTERS:
        app.include_router(module.router, responses=_RESPONSES)
    for guard in reversed(guards):
        app.add_middleware(guard.cls, *guard.args, **guard.kwargs)
    app.add_middleware(Measure, observe=observe)
    app.add_middleware(LevelHeader, value=services.switches.header)
    return app


def open_office(app: FastAPI, office: BackOffice) -> None:
    """Add the routes of the back office."""
    app.state.office = office
    handle_office_errors(app)
    for module in OFFICE_ROUTERS:
        app.include_router(module.router, responses=_RESPONSES)


def open_live(app: FastAPI, live: Live) -> None:
    """Add the event stream and the routes of webhooks."""
    app.state.live = live
    for module in LIVE_ROUTERS:
        app.include_router(module.router, responses=_RESPONSES)
