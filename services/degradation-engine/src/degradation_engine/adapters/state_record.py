"""A scope's state as a record of the compacted engine-state topic."""

from __future__ import annotations

import json

from degradation_engine.domain import StateUnreadable
from degradation_engine.domain.state import load
from resilience_contracts import Encoded, Topic

JSON_HEADERS = (("content-type", b"application/json"),)


def wrap(scope: str, state: bytes, partition: int, offset: int | None) -> Encoded:
    """Write a state with the place in the health topic up to which it has seen."""
    place = json.dumps({"partition": partition, "offset": offset}, separators=(",", ":")).encode()
    value = b'{"source":' + place + b',"state":' + state + b"}"
    return Encoded(str(Topic.ENGINE_STATE), scope.encode(), value, JSON_HEADERS)


def readable(scope: str, value: bytes) -> bytes:
    """Return the state inside a record, once it is sure that it can be restored.

    Raises:
        StateUnreadable: not such a record, or not of this scope.
    """
    try:
        state = json.dumps(json.loads(value)["state"]).encode()
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise StateUnreadable(f"not a record of engine state: {type(error).__name__}") from error
    name = load(state).name
    if name != scope:
        raise StateUnreadable(f"the state of {name[:100]!r} under another key")
    return state
