"""Who may ask for what: scopes of API keys, and the scope that each request needs."""

from __future__ import annotations

from enum import StrEnum


class KeyScope(StrEnum):
    """What an API key is good for. ADMIN includes the others."""

    READ = "read"
    RESERVE = "reserve"
    WRITE = "write"
    ADMIN = "admin"


GUARDED = "/v1/"
"""Requests outside this are for anybody: health, and the description of the API."""
_READING_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_ASKING = frozenset({"/v1/availability:batch", "/v1/assistant", "/v1/exports"})
"""POSTs that change no stock."""
_RESERVING = "/v1/reservations"
_ADMINISTERING = "/v1/webhooks"
_ENDINGS = ("/confirm", "/release")


def needed_scope(method: str, path: str) -> KeyScope:
    """Return the scope that a request needs; what no rule names changes things, so it needs WRITE."""
    if path.startswith(_ADMINISTERING):
        return KeyScope.ADMIN
    if method in _READING_METHODS or path in _ASKING:
        return KeyScope.READ
    return KeyScope.RESERVE if path.startswith(_RESERVING) else KeyScope.WRITE


def allows(scopes: frozenset[str], needed: KeyScope) -> bool:
    """Say whether a caller with these scopes may do what needs one."""
    return needed in scopes or KeyScope.ADMIN in scopes


def ends_a_hold(method: str, path: str) -> bool:
    """Say whether a request ends what was begun: it is served even when its caller has asked for too much."""
    return method == "POST" and path.startswith(_RESERVING) and path.endswith(_ENDINGS)
