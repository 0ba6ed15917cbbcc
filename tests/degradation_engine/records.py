"""Records as a consumer hands them over."""

from __future__ import annotations

from collections.abc import Iterable

from aiokafka import ConsumerRecord

from resilience_contracts import Topic

CREATE_TIME = 0


def stored(
    key: bytes | None,
    value: bytes | None,
    headers: Iterable[tuple[str, bytes]] = (),
    offset: int = 0,
    stored_ms: int = 0,
) -> ConsumerRecord[bytes, bytes]:
    """A record of the first partition of the health topic."""
    sizes = len(key or b""), len(value or b"")
    return ConsumerRecord(
        str(Topic.HEALTH), 0, offset, stored_ms, CREATE_TIME, key, value, None, *sizes, tuple(headers)
    )
