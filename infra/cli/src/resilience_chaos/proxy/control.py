"""Where links take orders, over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .link import Link
from .order import Order


def create_app(links: Mapping[str, Link]) -> Starlette:
    """Build the application: GET /links shows all, PUT /links/NAME orders, DELETE mends."""

    async def show(_request: Request) -> Response:
        return JSONResponse({name: _told(link) for name, link in links.items()})

    async def order(request: Request) -> Response:
        link = links.get(request.path_params["name"])
        if link is None:
            return JSONResponse({"error": f"there is no such link; links are {', '.join(links)}"}, 404)
        try:
            given = None if request.method == "DELETE" else Order.model_validate_json(await request.body())
        except ValidationError as error:
            wrong = error.errors(include_url=False, include_context=False, include_input=False)
            return JSONResponse({"errors": wrong}, 422)
        link.obey(given)
        return JSONResponse(_told(link))

    return Starlette(
        routes=[
            Route("/links", show),
            Route("/links/{name}", order, methods=["PUT", "DELETE"]),
        ]
    )


def _told(link: Link) -> dict[str, Any]:
    order = link.order.model_dump(mode="json", exclude_defaults=True) if link.order else None
    return {"port": link.port, "upstream": link.upstream, "connections": link.connections, "order": order}
