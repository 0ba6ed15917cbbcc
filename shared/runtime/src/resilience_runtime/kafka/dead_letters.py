"""Where messages go that cannot be read or applied: `<topic>.dlq`, unchanged, with the reason in headers."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

import structlog

from resilience_runtime.bus import EventPublisher, Headers, Message, PublishError, PublishRejectedError
from resilience_runtime.clock import Clock, SystemClock
from resilience_runtime.intake import OnBad

log = structlog.get_logger(__name__)

SUFFIX = ".dlq"
BURST = 1000
REFILL_PER_S = 10.0
REMEMBERED = 10_000
EXCERPT_BYTES = 64 * 1024
DEADLINE_S = 5.0


class DeadLetters:
    """Sends dead letters. Never raises: a letter that cannot be sent is logged and counted.

    A message (topic, partition, offset, timestamp) is sent once in the life of this object, so that reading a topic again
    does not fill the dead letters. At most 1,000 letters at once and 10 a second after that.

    Attributes:
        sent: letters stored.
        capped: letters given up because there were too many.
        lost: letters that the bus did not take.
    """

    def __init__(self, publisher: EventPublisher, clock: Clock | None = None) -> None:
        self._publisher = publisher
        self._clock = clock or SystemClock()
        self._seen: OrderedDict[tuple[str, int, int, int], None] = OrderedDict()
        self._tokens = float(BURST)
        self._filled_s = self._clock.monotonic()
        self.sent = 0
        self.capped = 0
        self.lost = 0

    def for_stage(self, stage: str) -> OnBad:
        """Return what a reader calls with each message that it could not apply."""
        return partial(self.send, stage=stage)

    async def send(self, message: Message, error: Exception, stage: str) -> bool:
        """Send one letter; returns whether it is stored.

        Args:
            message: what could not be used, sent unchanged.
            error: why; its class and text become headers.
            stage: what the message was being used for, as `decode` or `apply`.
        """
        place = (message.topic, message.partition, message.offset, message.timestamp_ms)
        if place in self._seen:
            return True
        if not self._take_token():
            self.capped += 1
            return False
        if not await self._publish(message, _headers(message, error, stage)):
            self.lost += 1
            return False
        self._remember(place)
        self.sent += 1
        return True

    async def _publish(self, message: Message, headers: Headers) -> bool:
        topic = message.topic + SUFFIX
        try:
            try:
                await self._publisher.publish(
                    topic, message.key, message.value, headers, deadline_s=DEADLINE_S
                )
            except PublishRejectedError:
                await self._publisher.publish(topic, *_excerpt(message, headers), deadline_s=DEADLINE_S)
        except PublishError as failure:
            log.error(  # noqa: TRY400 - the reason says it all
                "dead letter lost",
                topic=message.topic,
                partition=message.partition,
                offset=message.offset,
                reason=str(failure),
            )
            return False
        return True

    def _take_token(self) -> bool:
        now_s = self._clock.monotonic()
        self._tokens = min(float(BURST), self._tokens + (now_s - self._filled_s) * REFILL_PER_S)
        self._filled_s = now_s
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _remember(self, place: tuple[str, int, int, int]) -> None:
        self._seen[place] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)


def _headers(message: Message, error: Exception, stage: str) -> Headers:
    own = {
        "dlq_original_topic": message.topic,
        "dlq_original_partition": str(message.partition),
        "dlq_original_offset": str(message.offset),
        "dlq_original_timestamp": str(message.timestamp_ms),
        "dlq_error_class": type(error).__name__,
        "dlq_error_message": str(error)[:1000],
        "dlq_stage": stage,
        "dlq_attempt": str(_attempt(message)),
    }
    kept = tuple((name, value) for name, value in message.headers if name not in own)
    return (*kept, *((name, value.encode("utf-8", "replace")) for name, value in own.items()))


def _attempt(message: Message) -> int:
    """Count this failure: a letter that was sent again brings the number of those before it."""
    texts = [value for name, value in message.headers if name == "dlq_attempt" and value]
    last = texts[-1] if texts else b"0"
    return (int(last) if last.isdigit() and len(last) < 6 else 0) + 1  # noqa: PLR2004 - a sane number of digits


def _excerpt(message: Message, headers: Headers) -> tuple[bytes | None, bytes | None, Headers]:
    """Return key, value and headers cut to what surely fits, with the original size."""
    value = message.value or b""
    short = tuple((name, (content or b"")[:1000]) for name, content in headers[-50:])
    size = ("dlq_value_bytes", str(len(value)).encode())
    return (message.key or b"")[:1000] or None, value[:EXCERPT_BYTES], (*short, size)
