"""The operator's key of an embedded stack, for the console, holds and adjustments."""

from __future__ import annotations

import hashlib
import json
import secrets

from .part import Place
from .secret import read_or_create

SCOPES = ("read", "reserve", "write", "admin")


def operator_key(place: Place) -> str:
    """Return the key, created once: 256 random bits."""
    return read_or_create(place.secret("operator.key"), lambda: secrets.token_urlsafe(32))


def create_operator_key(place: Place) -> None:
    """Write the file of keys that flag-service reads; it holds digests, not keys."""
    digest = hashlib.sha256(operator_key(place).encode()).hexdigest()
    entry = {"name": "operator", "sha256": digest, "scopes": SCOPES}
    read_or_create(place.secret("api-keys.json"), lambda: json.dumps([entry], indent=2))
