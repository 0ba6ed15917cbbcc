"""An `EventPublisher` on Kafka: idempotent, acknowledged by all replicas, rebuilt when it breaks."""

from __future__ import annotations

import asyncio
import contextlib
from random import Random
from typing import Self

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    RecordTooLargeError,
)

from resilience_runtime.backoff import Backoff
from resilience_runtime.bus import Headers, PublishError, PublishRejectedError
from resilience_runtime.clock import Clock, SystemClock
from resilience_runtime.ending import end

from .access import KafkaAccess

log = structlog.get_logger(__name__)

MAX_RECORD_BYTES = 4 * 1024 * 1024
REQUEST_TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 10.0
CLOSE_S = 2.0
ABANDON_ROUND_S = 0.5
REJECTIONS = (MessageSizeTooLargeError, RecordListTooLargeError, RecordTooLargeError, InvalidTopicError)


class KafkaPublisher:
    """Publishes to Kafka; connects at the first record, and again whenever it has to.

    Safe to use from many tasks of one event loop. Use as an async context manager, or call `close`.

    Args:
        kafka: how to get in; bare bootstrap servers for a Kafka that asks for nothing.
    """

    def __init__(
        self,
        kafka: KafkaAccess | str,
        client_id: str = "resilience",
        *,
        clock: Clock | None = None,
        random: Random | None = None,
    ) -> None:
        self._kafka = KafkaAccess.of(kafka)
        self._client_id = client_id
        self._clock = clock or SystemClock()
        self._random = random or Random()  # noqa: S311 - spreads retries, guards nothing
        self._producer: AIOKafkaProducer | None = None
        self._connecting: asyncio.Task[AIOKafkaProducer] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._acknowledged_s = float("-inf")
        self.rebuilt = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def publish(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        *,
        deadline_s: float = 5.0,
    ) -> None:
        """Store a record; see `EventPublisher`."""
        began_s = self._clock.monotonic()
        producer: AIOKafkaProducer | None = None
        try:
            async with asyncio.timeout(deadline_s):
                producer = await self._connected()
                await producer.send_and_wait(topic, value, key, headers=list(headers))
        except TimeoutError as error:
            # An idempotent batch never expires by itself. If nothing at all got through, drop the producer and
            # what it holds: the caller may send again, and old copies would follow the new ones.
            if self._acknowledged_s < began_s:
                self._discard(producer)
            raise PublishError(f"{topic}: not confirmed within {deadline_s:g} s") from error
        except REJECTIONS as error:
            # The broker did not count the refused batch; an idempotent producer did, and its next one would fail.
            self._discard(producer)
            raise PublishRejectedError(f"{topic}: {type(error).__name__}: {error}") from error
        except KafkaError as error:
            self._discard(producer)
            raise PublishError(f"{topic}: {type(error).__name__}: {error}") from error
        self._acknowledged_s = self._clock.monotonic()

    async def close(self) -> None:
        """Send what is buffered, for two seconds at most, and disconnect."""
        if self._connecting:
            await end(self._connecting)
        self._connecting = None
        producer, self._producer = self._producer, None
        if producer:
            await _close(producer)
        if self._closing:
            await asyncio.wait(self._closing)

    async def _connected(self) -> AIOKafkaProducer:
        if self._producer is None:
            if self._connecting is None:
                self._connecting = asyncio.create_task(self._connect(), name="kafka publisher connects")
            # The attempt outlives a caller that gives up: the next one finds it further on.
            return await asyncio.shield(self._connecting)
        return self._producer

    async def _connect(self) -> AIOKafkaProducer:
        backoff = Backoff(self._random)
        while True:
            try:
                producer = await self._start()
            except (KafkaError, OSError, TimeoutError) as error:
                reason = str(error) or "timeout"
                log.warning("broker unreachable", bootstrap=self._kafka.bootstrap, reason=reason)
                await self._clock.sleep(backoff.next_s())
            else:
                self._producer, self._connecting = producer, None
                return producer

    async def _start(self) -> AIOKafkaProducer:
        producer = self._build()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await producer.start()
        except BaseException:
            await _abandon(producer)
            raise
        return producer

    def _build(self) -> AIOKafkaProducer:
        return AIOKafkaProducer(
            **self._kafka.options(),
            client_id=self._client_id,
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            max_request_size=MAX_RECORD_BYTES,
            metadata_max_age_ms=30_000,
            request_timeout_ms=int(REQUEST_TIMEOUT_S * 1000),
        )

    def _discard(self, producer: AIOKafkaProducer | None) -> None:
        if producer is None or producer is not self._producer:
            return
        self._producer = None
        self.rebuilt += 1
        log.warning("producer discarded", rebuilt=self.rebuilt)
        closing = asyncio.create_task(_abandon(producer), name="kafka publisher discards")
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)


async def _close(producer: AIOKafkaProducer) -> None:
    try:
        await asyncio.wait_for(producer.stop(), CLOSE_S)
    except (KafkaError, OSError, TimeoutError):
        await _abandon(producer)


async def _abandon(producer: AIOKafkaProducer) -> None:
    """Close without flushing: `stop` alone would wait for the broker, for ever.

    aiokafka has no public way to give up. The first cancellation ends its sender, the second one the request
    that the sender still waits for. Whoever waits for a buffered record does so until its own deadline.
    """
    sender = producer._sender.sender_task  # noqa: SLF001
    for _ in range(3):
        if sender is None or sender.done():
            break
        sender.cancel()
        await producer.client.close()
        await asyncio.wait({sender}, timeout=ABANDON_ROUND_S)
    accumulator = producer._message_accumulator  # noqa: SLF001
    accumulator._batches.clear()  # noqa: SLF001
    accumulator._pending_batches.clear()  # noqa: SLF001
    with contextlib.suppress(KafkaError, OSError, TimeoutError):
        await asyncio.wait_for(producer.stop(), CLOSE_S)
    await producer.client.close()
