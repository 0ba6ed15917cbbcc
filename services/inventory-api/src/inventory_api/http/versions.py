"""Versions of stock levels as entity tags."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header

from resilience_runtime import Problem

IfMatch = Annotated[
    str | None,
    Header(alias="If-Match", max_length=200, description="the ETag that the change was decided on, or `*`"),
]
IfNoneMatch = Annotated[str | None, Header(alias="If-None-Match", max_length=200)]
_DIGITS_MOST = 18


def etag(version: int) -> str:
    """Return a version as an entity tag."""
    return f'"{version}"'


def read_version(if_match: str | None) -> int | None:
    """Return the version that must be there; None for any.

    Raises:
        Problem: 412, it is no tag of ours and so matches nothing.
    """
    if if_match is None or if_match.strip() == "*":
        return None
    digits = if_match.strip().strip('"')
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _DIGITS_MOST):
        raise Problem(412, "version_mismatch", "this is no ETag of a stock level", title="Version mismatch")
    return int(digits)


def required_version(if_match: str | None) -> int | None:
    """Return the version that must be there; None for any, if the client says so.

    Raises:
        Problem: 428, the client does not say; 412 as above.
    """
    if if_match is None:
        detail = "say in If-Match which version of the level this change was decided on"
        raise Problem(428, "version_required", detail, title="Precondition Required")
    return read_version(if_match)
