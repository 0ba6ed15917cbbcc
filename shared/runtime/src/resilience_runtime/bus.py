"""The two ports of the event bus: publish a record, follow topics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from .errors import RuntimeFault

Headers = tuple[tuple[str, bytes | None], ...]
"""Header names and values, in order; names may repeat."""


class PublishError(RuntimeFault):
    """The record was not confirmed in time; it may still arrive. Sending it again may help."""

    code = "publish_failed"


class PublishRejectedError(PublishError):
    """The bus refuses this record (too large, or not allowed); sending it again does not help."""

    code = "publish_rejected"


class BadMessage(RuntimeFault):
    """This message cannot be read or applied; it belongs to the dead letters."""

    code = "bad_message"


@dataclass(frozen=True, slots=True)
class Message:
    """A record as it was read, bytes untouched.

    Attributes:
        offset: position within the partition.
        timestamp_ms: milliseconds since 1970-01-01 UTC, from the producer or the broker.
        read_from: the topic that it was read from, where it is applied under another name.
    """

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers
    partition: int
    offset: int
    timestamp_ms: int
    read_from: str | None = None


Apply = Callable[[Message], None]
"""Takes one message into the caller's state. Must not block. Idempotent: after a reconnect a message may come
again. Raises `BadMessage` for what cannot be applied; any other exception is logged as a bug. Either way the
message is counted, handed to the dead letters, and reading goes on."""


class EventPublisher(Protocol):
    """Stores records, one at a time or many at once."""

    async def publish(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        *,
        deadline_s: float = 5.0,
    ) -> None:
        """Return when the record is stored by every in-sync replica.

        Records of one key that are awaited one after the other are stored in that order.

        Args:
            topic: where to; it exists.
            key: decides the partition; None is any.
            value: None ends the key of a compacted topic.
            headers: in this order.
            deadline_s: seconds after which the call gives up, at the latest.

        Raises:
            PublishError: not confirmed by the deadline. The record may be stored all the same.
            PublishRejectedError: refused for good.
        """
        ...


class Reader(Protocol):
    """Follows every partition of some topics from their start, without a group."""

    @property
    def caught_up(self) -> bool:
        """Whether everything that was in the topics when reading began has been applied."""
        ...

    async def run(self) -> None:
        """Read for ever; ends only by cancellation."""
        ...

    async def wait_caught_up(self) -> None:
        """Return when `caught_up` holds."""
        ...

    def last_record_age_s(self) -> float | None:
        """Return seconds since a record last came, or None if none came yet."""
        ...
