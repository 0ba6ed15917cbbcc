"""The tree of scopes: `eu-west.store-042` is beneath `eu-west`; a scope without a dot has nothing above it."""

from __future__ import annotations

from functools import lru_cache

REMEMBERED = 32_768


@lru_cache(maxsize=REMEMBERED)
def lineage(scope: str) -> tuple[str, ...]:
    """Return a scope and every one above it, nearest first: `a.b.c`, `a.b`, `a`."""
    names = scope.split(".")
    return tuple(".".join(names[:size]) for size in range(len(names), 0, -1))


def is_beneath(scope: str, above: str) -> bool:
    """Say whether a scope is somewhere under another one; none is under itself."""
    return scope.startswith(above + ".")
