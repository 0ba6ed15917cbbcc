"""Entity tags: made from bytes, and compared with what clients really send."""

from __future__ import annotations

import hashlib
import re

_TAG = re.compile(r'(?:W/)?"([^"]*)"|([^\s,"]+)')


def entity_tag(body: bytes) -> str:
    """Return the strong tag of a body."""
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def matches(header: str | None, tag: str) -> bool:
    """Say whether an If-None-Match or If-Match header names a tag.

    Lists, weak tags and unquoted tags are read, as real clients send them; `*` names nothing here.
    """
    if not header:
        return False
    wanted = tag.strip('"')
    return any((quoted or bare) == wanted for quoted, bare in _TAG.findall(header) if bare != "*")
