"""Errors over HTTP: RFC 9457 problem details."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .trace_context import current_trace_id

MEDIA_TYPE = "application/problem+json"
# As RFC 9110 has them; Python before 3.13 has the older ones.
RENAMED = {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}
TYPE_PREFIX = "tag:retail-resilience.invalid,2026:problems/"

_SCHEMA = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code", "instance"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "instance": {"type": "string", "format": "uri-reference"},
        "trace_id": {"type": "string"},
    },
}

PROBLEM_RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"description": description, "content": {MEDIA_TYPE: {"schema": _SCHEMA}}}
    for status, description in (("4XX", "Refused; the body says why"), ("5XX", "Failed; the body says how"))
}
"""What OpenAPI documents say of errors."""


@dataclass(frozen=True, slots=True)
class ProblemDetails:
    """What went wrong with one request, before it takes a shape on the wire.

    Attributes:
        code: stable name of the kind, for programs.
        title: the kind, for people; the same for each occurrence.
        detail: this occurrence, for people.
        members: further members of the body.
    """

    status: int
    code: str
    title: str
    detail: str
    members: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self, instance: str) -> dict[str, Any]:
        """Return the members of RFC 9457, with `code` and what the occurrence adds."""
        return {
            "type": TYPE_PREFIX + self.code,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "instance": instance,
            **self.members,
        }


class Problem(HTTPException):
    """A request that cannot be served; becomes problem+json.

    Args:
        status: HTTP status.
        code: stable name of the kind, as `stock_not_found`.
        detail: what happened, for people.
        title: the kind, for people; by default the phrase of the status.
        headers: further headers, as Retry-After.
        members: further members of the body.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        title: str | None = None,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(status, detail, dict(headers or {}))
        self.details = ProblemDetails(status, code, title or phrase(status), detail, members, headers or {})


ErrorShape = Callable[[Request, ProblemDetails], Response]
"""Gives an error another body than problem+json. Must not raise."""


def phrase(status: int) -> str:
    """Return the reason phrase of a status, the same under every version of Python."""
    if status in RENAMED:
        return RENAMED[status]
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def code_of(status: int) -> str:
    """Return the code of a status that the framework answered with: `not_found` of 404."""
    return phrase(status).lower().replace(" ", "_").replace("-", "_").replace("'", "")


def problem_response(request: Request, details: ProblemDetails) -> Response:
    """Answer with problem+json; `trace_id` is added where the request is traced."""
    trace_id = current_trace_id()
    trace = {"trace_id": trace_id} if trace_id else {}
    return JSONResponse(
        {**details.body(quote(request.url.path, safe="/:")), **trace},
        details.status,
        headers=dict(details.headers),
        media_type=MEDIA_TYPE,
    )
