"""The way of a message into the caller's state; the same for every reader."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Protocol

import structlog

from .bus import Apply, BadMessage, Message
from .clock import Clock

log = structlog.get_logger(__name__)

OnBad = Callable[[Message, Exception], Awaitable[object]]
"""Is told of each message that could not be applied, and why. Must not raise."""


class Names(Protocol):
    """Topics that are read under other names than they are applied, as mirrors of another cluster's."""

    def topics(self, topics: Iterable[str]) -> tuple[str, ...]:
        """Return everything to read for some topics, themselves included."""
        ...

    def home(self, topic: str) -> str:
        """Return the name under which records of a topic are applied."""
        ...

    def fault(self, topic: str, key: bytes | None) -> str | None:
        """Say why a record may not be in a topic; None where it may."""
        ...


async def ignore_bad(_message: Message, _error: Exception) -> None:
    """Do nothing with a message that could not be applied; it is logged and counted all the same."""


class Intake:
    """Applies messages; what cannot be applied is logged, counted and handed on."""

    def __init__(self, apply: Apply, on_bad: OnBad | None, clock: Clock, names: Names | None = None) -> None:
        self._apply = self._checked(apply, names) if names else apply
        self._names = names
        self._on_bad = on_bad or ignore_bad
        self._clock = clock
        self._latest_ms: int | None = None
        self.bad_messages = 0

    async def take(self, message: Message) -> None:
        """Apply one message."""
        if self._names and (home := self._names.home(message.topic)) != message.topic:
            message = replace(message, topic=home, read_from=message.topic)
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

    @staticmethod
    def _checked(apply: Apply, names: Names) -> Apply:
        def checked(message: Message) -> None:
            fault = names.fault(message.read_from or message.topic, message.key)
            if fault:
                raise BadMessage(fault)
            apply(message)

        return checked

    async def _refuse(self, message: Message, error: Exception) -> None:
        self.bad_messages += 1
        log.warning("message refused", reason=str(error)[:500], **_place(message))
        await self._on_bad(message, error)

    def _now_ms(self) -> int:
        return int(self._clock.now().timestamp() * 1000)


def _place(message: Message) -> dict[str, object]:
    return {
        "topic": message.read_from or message.topic,
        "partition": message.partition,
        "offset": message.offset,
    }
