"""A source on Kafka: the compacted topics of levels and holds, read without a group. Extra `kafka`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from resilience_contracts import CodecError, HoldSet, LevelState, Regions, Topic, View, decode
from resilience_runtime.bus import Apply, BadMessage, Message, Reader
from resilience_runtime.kafka.access import KafkaAccess
from resilience_runtime.kafka.replica import ReplicaReader

from .feed import LevelFeed

TOPICS = (Topic.LEVELS, Topic.HOLDS)
CHECK_S = 5.0
SILENCE_S = 90.0
"""The engine repeats every state each 30 s; after three it is silent, or Kafka is away."""

OpenReader = Callable[[Apply, Callable[[], None]], Reader]
"""Opens a reader of the topics: what applies a message, and what is told before all is read again."""


class KafkaSource:
    """Follows the topics themselves; nothing of Retail Resilience need be up but Kafka.

    Args:
        kafka: how to get in; bare bootstrap servers for a Kafka that asks for nothing.
        client_id: how the broker's logs call this reader.
        regions: other regions whose topics are mirrored in this Kafka.
        open_reader: another reader than one of Kafka, for tests.
    """

    def __init__(
        self,
        kafka: KafkaAccess | str,
        *,
        client_id: str = "resilience-client",
        regions: Regions | None = None,
        open_reader: OpenReader | None = None,
    ) -> None:
        def on_kafka(apply: Apply, on_rebuild: Callable[[], None]) -> Reader:
            return ReplicaReader(kafka, TOPICS, apply, on_rebuild, client_id=client_id, names=regions)

        self._open_reader = open_reader or on_kafka

    async def run(self, feed: LevelFeed) -> None:
        """Follow for ever."""

        def take(message: Message) -> None:
            apply(message, feed.view)
            feed.heard()

        reader = self._open_reader(take, feed.view.forget_holds)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(reader.run())
            tasks.create_task(_watch(reader, feed))


async def _watch(reader: Reader, feed: LevelFeed) -> None:
    while True:
        await asyncio.sleep(CHECK_S)
        age_s = reader.last_record_age_s()
        if age_s is None or age_s > SILENCE_S:
            feed.lost()


def apply(message: Message, view: View) -> None:
    """Take a record of the levels or holds topic.

    Raises:
        BadMessage: it is neither.
    """
    if message.value is None:
        view.end_hold((message.key or b"").decode(errors="replace"), message.headers)
        return
    try:
        event = decode(message.value, message.headers).event
    except CodecError as error:
        raise BadMessage(str(error)) from error
    if isinstance(event, LevelState):
        view.apply_level(event)
    elif isinstance(event, HoldSet):
        view.apply_hold(event)
