"""Which replica delivers webhooks: the one that Kafka's consumer group gives the topic's only partition to.

Taken: the group coordinator of Kafka, which elects, times out and hands over. Nothing is read through it.
"""

from __future__ import annotations

import asyncio
import contextlib
from random import Random
from typing import Protocol

import structlog
from aiokafka import AIOKafkaConsumer

from resilience_runtime.backoff import Backoff
from resilience_runtime.clock import Clock
from resilience_runtime.kafka.access import KafkaAccess

LOOK_MS = 500
STOP_S = 2.0

log = structlog.get_logger(__name__)


class Lease(Protocol):
    """Says whether this replica is the one that delivers."""

    @property
    def held(self) -> bool:
        """Whether it is."""
        ...

    async def run(self) -> None:
        """Take part in the election, for ever."""
        ...


class KafkaLease:
    """A lease by a consumer group. While Kafka is away, whoever had it keeps it until Kafka decides anew.

    Args:
        topic: has one partition.
        group: the replicas of one service.
    """

    def __init__(
        self, kafka: KafkaAccess, *, topic: str, group: str, client_id: str, clock: Clock, rng: Random
    ) -> None:
        self._kafka = kafka
        self._topic = topic
        self._group = group
        self._client_id = client_id
        self._clock = clock
        self._backoff = Backoff(rng)
        self.held = False

    async def run(self) -> None:
        """Take part in the election, for ever."""
        while True:
            try:
                await self._take_part()
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task and task.cancelling():
                    raise
                log.warning("election interrupted", reason="aiokafka cancelled its own call")
            except Exception as error:  # noqa: BLE001 - whatever the broker does, a replica stands again
                log.warning("election interrupted", reason=f"{type(error).__name__}: {error}")
            self._note(held=False)
            await self._clock.sleep(self._backoff.next_s())

    async def _take_part(self) -> None:
        consumer = AIOKafkaConsumer(
            self._topic,
            **self._kafka.options(),
            client_id=self._client_id,
            group_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="latest",
        )
        try:
            await consumer.start()
            self._backoff.reset()
            while True:
                consumer.pause(*consumer.assignment())
                self._note(held=bool(consumer.assignment()))
                await consumer.getmany(timeout_ms=LOOK_MS)
        finally:
            with contextlib.suppress(Exception):  # a group that elects at this moment would hold up the stop
                await asyncio.wait_for(consumer.stop(), STOP_S)

    def _note(self, *, held: bool) -> None:
        if held != self.held:
            self.held = held
            log.info("delivers webhooks" if held else "does not deliver webhooks")
