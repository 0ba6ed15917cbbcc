"""Answers that a client has already: `ETag`, `If-None-Match`, 304."""

from __future__ import annotations

import hashlib

from starlette.requests import Request
from starlette.responses import Response

from inventory_api.application.store import Answer

from .fields import Out
from .rendering import respond


def respond_unless_known(request: Request, body: Out, headers: dict[str, str]) -> Response:
    """Send a body with its weak entity tag, or 304."""
    text, tag = tagged(body)
    headers = {**headers, "ETag": tag}
    if matches(request.headers.get("if-none-match"), tag):
        return Response(status_code=304, headers=headers)
    return respond(Answer(200, headers, text))


def tagged(body: Out) -> tuple[str, str]:
    """Write a body; return it with its weak entity tag. `as_of` alone makes no new entity."""
    content = body.model_dump_json(exclude={"as_of"})
    tag = f'W/"{hashlib.blake2b(content.encode(), digest_size=12).hexdigest()}"'
    return body.model_dump_json(), tag


def matches(wanted: str | None, tag: str) -> bool:
    """Say whether a tag is among those of `If-None-Match`."""
    if wanted is None:
        return False
    tags = {each.strip().removeprefix("W/") for each in wanted.split(",")}
    return "*" in tags or tag.removeprefix("W/") in tags
