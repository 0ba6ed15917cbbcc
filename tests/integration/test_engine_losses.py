"""The engine while Kafka is away, after its state topic is lost, and under holds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from resilience_cli.topics import apply_declared
from resilience_contracts import LEVEL_TARGET, DecidedBy, HoldSet, Level, Topic, encode, hold_key, tombstone
from resilience_runtime.bus import PublishError
from resilience_runtime.kafka.publisher import KafkaPublisher
from tests.e2e.quick import quick_policy, quick_policy_text
from tests.fixtures.stack import RunningStack, running_stack
from tests.integration.engine_process import (
    FEED_TOPICS,
    EngineProcess,
    Monitor,
    listening,
    new_scope,
    versions_never_go_back,
)

POLICY = quick_policy()
AWAY_S = 12


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    with running_stack(tmp_path_factory.mktemp("stack"), parts=("kafka",)) as running:
        yield running


@pytest.fixture
def engine(stack: RunningStack, tmp_path: Path) -> Iterator[EngineProcess]:
    policy_file = tmp_path / "policy.yaml"
    policy_file.write_text(quick_policy_text(), encoding="utf-8")
    process = EngineProcess(stack.bootstrap, tmp_path, RESILIENCE_POLICY_FILE=str(policy_file)).start()
    try:
        yield process
    finally:
        process.stop()


async def test_kafka_killed_during_a_change_comes_back_and_the_level_with_it(
    stack: RunningStack, engine: EngineProcess
) -> None:
    scope = new_scope()
    await engine.wait_ready()
    async with KafkaPublisher(stack.bootstrap) as publisher:
        monitor = Monitor(publisher, POLICY, [scope])
        async with listening(stack.bootstrap, *FEED_TOPICS) as ear:
            await monitor.report(rounds=4, pause_s=0.5)
            await ear.until(lambda: bool(ear.states(scope)))
            before = ear.states(scope)[-1]
        monitor.down[scope].add("postgresql")
        await monitor.report(rounds=2, pause_s=0)
        await asyncio.to_thread(stack.stop, "kafka")
        with pytest.raises(PublishError):
            await monitor.report()
        await asyncio.sleep(AWAY_S)
        assert engine.process.poll() is None, engine.log.read_text()[-3000:]
        assert await engine.status("/health/live") == 200
        await asyncio.to_thread(stack.restore, "kafka")

        await engine.wait_ready()
        async with listening(stack.bootstrap, *FEED_TOPICS) as ear:
            reporting = asyncio.create_task(monitor.keep_reporting())
            try:
                await ear.until(
                    lambda: bool(ear.states(scope)) and ear.states(scope)[-1].known_level is Level.MINIMAL, 60
                )
            finally:
                reporting.cancel()
                await asyncio.wait({reporting})
            assert versions_never_go_back([before, *ear.states(scope)])


async def test_without_its_state_topic_the_level_stays_in_a_later_epoch(
    stack: RunningStack, engine: EngineProcess
) -> None:
    scope = new_scope()
    await engine.wait_ready()
    async with KafkaPublisher(stack.bootstrap) as publisher, listening(stack.bootstrap, *FEED_TOPICS) as ear:
        monitor = Monitor(publisher, POLICY, [scope])
        monitor.down[scope].add("postgresql")
        await monitor.report(rounds=4, pause_s=0.5)
        await ear.until(
            lambda: bool(ear.states(scope)) and ear.states(scope)[-1].known_level is Level.MINIMAL
        )
        engine.kill()
        before = ear.states(scope)[-1]
        await lose(stack.bootstrap, Topic.ENGINE_STATE)

        engine.start()
        await ear.until(lambda: ear.states(scope)[-1].version.epoch > before.version.epoch, 60)

        after = ear.states(scope)[-1]
        assert after.known_level is Level.MINIMAL
        assert after.since == before.since
        assert versions_never_go_back(ear.states(scope))
        assert [change.to_level for change in ear.changes(scope)] == ["MINIMAL"]


async def test_a_hold_rules_until_it_is_ended(stack: RunningStack, engine: EngineProcess) -> None:
    scope, now = new_scope(), datetime.now(UTC)
    await engine.wait_ready()
    async with KafkaPublisher(stack.bootstrap) as publisher, listening(stack.bootstrap, *FEED_TOPICS) as ear:
        monitor = Monitor(publisher, POLICY, [scope])
        reporting = asyncio.create_task(monitor.keep_reporting())
        try:
            await ear.until(lambda: bool(ear.states(scope)))
            hold = HoldSet(
                scope=scope,
                target=LEVEL_TARGET,
                hold_id="h1",
                version=1,
                level="LIMITED",
                reason="planned maintenance tonight",
                actor="ops",
                set_at=now,
                expires_at=now + timedelta(hours=1),
            )
            await publisher.publish(*encode(hold, "/services/flag-service/test"))
            await ear.until(lambda: ear.states(scope)[-1].known_level is Level.LIMITED)
            assert ear.states(scope)[-1].decided_by is DecidedBy.HOLD
            engine.kill()
            engine.start()
            restarted = datetime.now(UTC)
            await ear.until(lambda: ear.states(scope)[-1].observed_at > restarted, 60)
            assert ear.states(scope)[-1].level == "LIMITED"

            await publisher.publish(*tombstone(Topic.HOLDS, hold_key(scope, LEVEL_TARGET)))
            await ear.until(lambda: ear.states(scope)[-1].known_level is Level.OPTIMAL)
        finally:
            reporting.cancel()
            await asyncio.wait({reporting})
        await ear.until(lambda: ear.steps(scope)[-1:] == [("LIMITED", "OPTIMAL")])
        assert ear.steps(scope) == [("OPTIMAL", "LIMITED"), ("LIMITED", "OPTIMAL")]


async def lose(bootstrap: str, topic: str) -> None:
    """Delete a topic and create it anew."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.delete_topics([topic])
        await listed(admin, topic, wanted=False)
        await asyncio.to_thread(apply_declared, bootstrap)
        await listed(admin, topic, wanted=True)
    finally:
        await admin.close()


async def listed(admin: AIOKafkaAdminClient, topic: str, *, wanted: bool) -> None:
    deadline_s = time.monotonic() + 20
    while (topic in await admin.list_topics()) is not wanted:
        assert time.monotonic() < deadline_s, topic
        await asyncio.sleep(0.1)
