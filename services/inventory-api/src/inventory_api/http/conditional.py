"""Answers that a client has already: `ETag`, `If-None-Match`, 304."""

from __future__ import annotations

import hashlib

from starlette.requests import Request
from starlette.responses import Response

from inventory_api.application.store import Answer

from .fields import Out
from .rendering import render, respond


def respond_unless_known(request: Request, body: Out, headers: dict[str, str]) -> Response:
    """Send a body with its weak entity tag, or 304. `as_of` alone makes no new entity."""
    content = body.model_dump_json(exclude={"as_of"})
    tag = f'W/"{hashlib.blake2b(content.encode(), digest_size=12).hexdigest()}"'
    headers = {**headers, "ETag": tag}
    if _matches(request.headers.get("if-none-match"), tag):
        return Response(status_code=304, headers=headers)
    return respond(Answer(200, headers, render(body).body))


def _matches(wanted: str | None, tag: str) -> bool:
    if wanted is None:
        return False
    tags = {each.strip().removeprefix("W/") for each in wanted.split(",")}
    return "*" in tags or tag.removeprefix("W/") in tags
