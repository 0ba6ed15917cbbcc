"""The client's feed on a real Kafka."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime

import pytest

from resilience_cli.topics import apply_declared
from resilience_client import LevelFeed
from resilience_client.kafka import KafkaSource
from resilience_contracts import FeatureState, Level, Topic, encode, tombstone
from resilience_runtime import KafkaPublisher
from tests.contracts.states import hold_set, level_state
from tests.flag_service.running import until

ASSISTANT = "integrations.ai_assistant"


@pytest.fixture(scope="module")
def topics(kafka_bootstrap: str) -> str:
    apply_declared(kafka_bootstrap)
    return kafka_bootstrap


async def test_a_feed_over_kafka_follows_levels_and_holds(topics: str) -> None:
    scope = f"t-{uuid.uuid4().hex[:8]}"
    hold = hold_set(FeatureState.DISABLED, set_at=datetime.now(UTC)).model_copy(update={"scope": scope})

    async with KafkaPublisher(topics, "client-test") as publisher:

        async def tell(level: Level, counter: int) -> None:
            state = level_state(level, (1, counter), at=datetime.now(UTC), scope=scope)
            await publisher.publish(*encode(state, "/services/test/1"))

        await tell(Level.LIMITED, 1)
        async with LevelFeed(KafkaSource(topics), scope) as feed:
            await asyncio.wait_for(feed.known(), 30)
            assert feed.level is Level.LIMITED
            await tell(Level.OPTIMAL, 2)
            await until(lambda: feed.level is Level.OPTIMAL)
            await publisher.publish(*encode(hold, "/services/test/1"))
            await until(lambda: not feed.is_enabled(ASSISTANT))
            await publisher.publish(*tombstone(Topic.HOLDS, hold.key))
            await until(lambda: feed.is_enabled(ASSISTANT))
            assert not feed.stale
