"""The address of the database, as a driver wants it."""

from __future__ import annotations

SCHEMES = ("postgresql://", "postgres://")


def to_async(url: str) -> str:
    """Return the address with asyncpg named as its driver."""
    for scheme in SCHEMES:
        if url.startswith(scheme):
            return "postgresql+asyncpg://" + url.removeprefix(scheme)
    return url
