"""The two buses under one contract: in memory, and on a real Kafka."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Protocol

from resilience_runtime import (
    Apply,
    EventPublisher,
    KafkaPublisher,
    MemoryBus,
    OnBad,
    Reader,
    ReplicaReader,
)
from resilience_runtime.kafka import TopicSpec, apply_topics

PARTITIONS = 3


class Bus(Protocol):
    publisher: EventPublisher

    async def new_topic(self, name: str | None = None) -> str: ...

    def reader(
        self,
        topics: tuple[str, ...],
        apply: Apply,
        on_rebuild: Callable[[], None] | None = None,
        on_bad: OnBad | None = None,
    ) -> Reader: ...


class InMemory:
    def __init__(self) -> None:
        self.bus = MemoryBus(PARTITIONS)
        self.publisher: EventPublisher = self.bus

    async def new_topic(self, name: str | None = None) -> str:
        return name or f"bus.{uuid.uuid4().hex}"

    def reader(
        self,
        topics: tuple[str, ...],
        apply: Apply,
        on_rebuild: Callable[[], None] | None = None,
        on_bad: OnBad | None = None,
    ) -> Reader:
        return self.bus.reader(topics, apply, on_rebuild, on_bad=on_bad)


class OnKafka:
    def __init__(self, bootstrap: str, publisher: KafkaPublisher) -> None:
        self._bootstrap = bootstrap
        self.publisher: EventPublisher = publisher

    @classmethod
    async def connect(cls, bootstrap: str, stack: AsyncExitStack) -> OnKafka:
        return cls(bootstrap, await stack.enter_async_context(KafkaPublisher(bootstrap)))

    async def new_topic(self, name: str | None = None) -> str:
        name = name or f"bus.{uuid.uuid4().hex}"
        await apply_topics(self._bootstrap, {name: TopicSpec(PARTITIONS)})
        return name

    def reader(
        self,
        topics: tuple[str, ...],
        apply: Apply,
        on_rebuild: Callable[[], None] | None = None,
        on_bad: OnBad | None = None,
    ) -> Reader:
        return ReplicaReader(self._bootstrap, topics, apply, on_rebuild, on_bad=on_bad, check_s=0.5)
