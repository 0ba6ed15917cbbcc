"""The way of a message into the caller's state; the same for every reader."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from .bus import Apply, BadMessage, Message
from .clock import Clock

log = structlog.get_logger(__name__)

OnBad = Callable[[Message, Exception], Awaitable[object]]
"""Is told of each message that could not be applied, and why. Must not raise."""


async def ignore_bad(_message: Message, _error: Exception) -> None:
    """Do nothing with a message that could not be applied; it is logged and counted all the same."""


class Intake:
    """Applies messages; what cannot be applied is logged, counted and handed on."""

    def __init__(self, apply: Apply, on_bad: OnBad | None, clock: Clock) -> None:
        self._apply = apply
        self._on_bad = on_bad or ignore_bad
        self._clock = clock
        self._latest_ms: int | None = None
        self.bad_messages = 0

    async def take(self, message: Message) -> None:
        """Apply one message."""
        try:
            self._apply(message)
        except BadMessage as error:
            await self._refuse(message, error)
        except Exception as error:
            log.exception("applying a message failed", **_place(message))
            await self._refuse(message, error)
        self._latest_ms = max(self._latest_ms or 0, min(message.timestamp_ms, self._now_ms()))

    def last_record_age_s(self) -> float | None:
        """Return seconds since the newest record was written, or None if none came yet."""
        if self._latest_ms is None:
            return None
        return max(0.0, (self._now_ms() - self._latest_ms) / 1000)

    async def _refuse(self, message: Message, error: Exception) -> None:
        self.bad_messages += 1
        log.warning("message refused", reason=str(error)[:500], **_place(message))
        await self._on_bad(message, error)

    def _now_ms(self) -> int:
        return int(self._clock.now().timestamp() * 1000)


def _place(message: Message) -> dict[str, object]:
    return {"topic": message.topic, "partition": message.partition, "offset": message.offset}
