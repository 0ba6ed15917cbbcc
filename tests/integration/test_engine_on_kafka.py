"""The engine as a process on a real Kafka."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from resilience_cli.stack import free_ports
from resilience_cli.topics import apply_declared
from resilience_contracts import Level, Topic, dead_letter_topic, encode
from resilience_runtime.bus import PublishError
from resilience_runtime.kafka.publisher import KafkaPublisher
from tests.e2e.quick import quick_policy, quick_policy_text
from tests.integration.engine_process import (
    FEED_TOPICS,
    MONITOR,
    EngineProcess,
    Monitor,
    listening,
    new_scope,
    versions_never_go_back,
)

POLICY = quick_policy()
RSS_LIMIT_MB = 150


@pytest.fixture(scope="module")
def bootstrap(kafka_bootstrap: str) -> str:
    apply_declared(kafka_bootstrap)
    return kafka_bootstrap


@pytest.fixture
def policy_file(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(quick_policy_text(), encoding="utf-8")
    return path


@pytest.fixture
def engine(bootstrap: str, tmp_path: Path, policy_file: Path) -> Iterator[EngineProcess]:
    process = EngineProcess(bootstrap, tmp_path, RESILIENCE_POLICY_FILE=str(policy_file)).start()
    try:
        yield process
    finally:
        process.stop()


@asynccontextmanager
async def reporting(bootstrap: str, *scopes: str) -> AsyncIterator[Monitor]:
    """A monitor that reports twice a second until the end."""
    async with KafkaPublisher(bootstrap) as publisher:
        monitor = Monitor(publisher, POLICY, scopes)
        task = asyncio.create_task(monitor.keep_reporting())
        try:
            yield monitor
        finally:
            task.cancel()
            await asyncio.wait({task})


async def test_an_outage_becomes_a_level_and_ends(bootstrap: str, engine: EngineProcess) -> None:
    scope = new_scope()
    await engine.wait_ready()
    async with listening(bootstrap, *FEED_TOPICS) as ear, reporting(bootstrap, scope) as monitor:
        await ear.until(lambda: bool(ear.states(scope)))
        assert ear.states(scope)[-1].known_level is Level.OPTIMAL

        monitor.down[scope].add("postgresql")
        await ear.until(lambda: ear.states(scope)[-1].known_level is Level.MINIMAL)
        monitor.down[scope].clear()
        await ear.until(lambda: ear.states(scope)[-1].known_level is Level.OPTIMAL)

        await ear.until(lambda: len(ear.changes(scope)) >= 4)
        changes = [(change.from_level, change.to_level) for change in ear.changes(scope)]
        assert changes == [
            ("OPTIMAL", "MINIMAL"),
            ("MINIMAL", "LIMITED"),
            ("LIMITED", "DEGRADED"),
            ("DEGRADED", "OPTIMAL"),
        ]
        assert versions_never_go_back(ear.states(scope))
    assert await engine.status("/health/live") == 200
    assert await engine.metric("degradation_engine_level_changes_total") >= 4
    assert engine.rss_mb() < RSS_LIMIT_MB
    assert engine.written == ["policy.yaml"], "a container's file system is read-only"


async def test_garbage_stops_nothing_and_ends_in_the_dead_letters(
    bootstrap: str, engine: EngineProcess
) -> None:
    scope = new_scope()
    await engine.wait_ready()
    async with (
        listening(bootstrap, *FEED_TOPICS, dead_letter_topic(Topic.HEALTH)) as ear,
        KafkaPublisher(bootstrap) as publisher,
    ):
        monitor = Monitor(publisher, POLICY, [scope])
        good = encode(monitor._observe(scope, "redis", 1), MONITOR)
        data = json.loads(good.value or b"{}")
        headers = dict(good.headers)
        garbage: list[tuple[str, bytes | None, dict[str, bytes]]] = [
            ("random bytes", random.Random(1).randbytes(300), {}),
            ("empty", b"", dict(headers)),
            ("tombstone", None, dict(headers)),
            ("not an object", b"[1, 2]", dict(headers)),
            ("wrong type", json.dumps(data | {"sequence": "nine"}).encode(), dict(headers)),
            ("NaN", (good.value or b"").replace(b'"latency_ms":3.0', b'"latency_ms":NaN'), dict(headers)),
            ("10^9", (good.value or b"").replace(b'"latency_ms":3.0', b'"latency_ms":1e9'), dict(headers)),
            (
                "before time",
                json.dumps(data | {"observed_at": "0001-01-01T00:00:00+23:59"}).encode(),
                dict(headers),
            ),
            ("future CloudEvents", good.value, headers | {"ce_specversion": b"9.0"}),
            ("future event", good.value, headers | {"ce_type": b"retail.resilience.health.observed.v9"}),
            ("no headers", good.value, {}),
            ("unknown dependency", json.dumps(data | {"dependency": "payments"}).encode(), dict(headers)),
            ("1970", json.dumps(data | {"observed_at": "1970-01-01T00:00:00Z"}).encode(), dict(headers)),
            ("2090", json.dumps(data | {"observed_at": "2090-01-01T00:00:00Z"}).encode(), dict(headers)),
            ("scope of 10 KB", json.dumps(data | {"scope": "s" * 10_240}).encode(), dict(headers)),
            ("oversized", b"x" * 2_000_000, dict(headers)),
        ]
        assert (good.value or b"").count(b'"latency_ms":3.0') == 1
        began_ms = int(time.time() * 1000)
        for _, value, some in garbage:
            await publisher.publish(Topic.HEALTH, scope.encode(), value, tuple(some.items()))
        await publisher.publish(Topic.HEALTH, b"another-key", good.value, good.headers)
        async with KafkaPublisher(bootstrap) as careless:
            with pytest.raises(PublishError):
                await careless.publish(Topic.HEALTH, scope.encode(), b"x" * 3_500_000)

        await monitor.report()
        await ear.until(lambda: bool(ear.states(scope)))
        await ear.until(lambda: len(ear.letters_since(began_ms)) > len(garbage))

        letters = ear.letters_since(began_ms).values()
        assert len(letters) == len(garbage) + 1
        by_value = dict(letters)
        for name, value, _ in garbage:
            assert by_value[value]["dlq_error_message"], name
            assert by_value[value]["dlq_original_topic"] == Topic.HEALTH.encode()
        stages = [some["dlq_stage"] for _, some in letters]
        assert stages.count(b"apply") == 3
    assert await engine.status("/health/ready") == 200
    assert await engine.metric("degradation_engine_refused_events_total") == 3


async def test_what_was_taken_is_not_taken_again_after_a_stop(bootstrap: str, engine: EngineProcess) -> None:
    key = new_scope().encode()
    await engine.wait_ready()
    async with (
        listening(bootstrap, dead_letter_topic(Topic.HEALTH)) as ear,
        KafkaPublisher(bootstrap) as publisher,
    ):
        for number in range(4):
            if number == 3:
                assert engine.stop() == 0
                engine.start()
            await publisher.publish(Topic.HEALTH, key, key + b"/%d" % number)
            await ear.until(lambda value=key + b"/%d" % number: value in dict(ear.letters))  # type: ignore[misc]

        mine = [value for value, _ in ear.letters if value and value.startswith(key)]
        assert mine == [key + b"/%d" % number for number in range(4)]


async def test_killed_in_the_middle_of_a_change_it_comes_back_right(
    bootstrap: str, engine: EngineProcess
) -> None:
    scope = new_scope()
    await engine.wait_ready()
    async with listening(bootstrap, *FEED_TOPICS) as ear, reporting(bootstrap, scope) as monitor:
        await ear.until(lambda: bool(ear.states(scope)))
        monitor.down[scope].update({"postgresql", "redis"})
        await ear.until(lambda: ear.states(scope)[-1].known_level >= Level.MINIMAL)
        engine.kill()
        before = ear.states(scope)[-1]

        engine.start()
        await engine.wait_ready()
        await ear.until(lambda: ear.states(scope)[-1].observed_at > before.observed_at)
        await ear.until(lambda: ear.states(scope)[-1].known_level is Level.EMERGENCY)

        assert versions_never_go_back(ear.states(scope))
        assert {state.version.epoch for state in ear.states(scope)} == {before.version.epoch}
        assert not any(state.stale for state in ear.states(scope))


async def test_killed_while_the_shop_recovers_it_finds_the_recovery(
    bootstrap: str, engine: EngineProcess
) -> None:
    scope = new_scope()
    await engine.wait_ready()
    async with listening(bootstrap, *FEED_TOPICS) as ear, reporting(bootstrap, scope) as monitor:
        await ear.until(lambda: bool(ear.states(scope)))
        monitor.down[scope].add("openai")
        await ear.until(lambda: ear.states(scope)[-1].known_level is Level.LIMITED)

        engine.kill()
        monitor.down[scope].clear()
        engine.start()
        await ear.until(lambda: ear.states(scope)[-1].known_level is Level.OPTIMAL, 60)
        await ear.until(
            lambda: len(ear.steps(scope)) == 3
        )  # on another topic, which may be read a little later

        assert versions_never_go_back(ear.states(scope))
        assert ear.steps(scope) == [("OPTIMAL", "LIMITED"), ("LIMITED", "DEGRADED"), ("DEGRADED", "OPTIMAL")]


async def test_a_worker_that_dies_is_replaced_by_the_other(
    bootstrap: str, engine: EngineProcess, tmp_path: Path, policy_file: Path
) -> None:
    scopes = [new_scope() for _ in range(12)]
    other = EngineProcess(bootstrap, tmp_path, RESILIENCE_POLICY_FILE=str(policy_file))
    await engine.wait_ready()
    async with listening(bootstrap, *FEED_TOPICS) as ear, reporting(bootstrap, *scopes) as monitor:
        await ear.until(lambda: all(ear.states(scope) for scope in scopes))
        try:
            other.start()
            await other.wait_ready()
            engine.kill()
            for scope in scopes:
                monitor.down[scope].add("postgresql")

            await ear.until(
                lambda: all(ear.states(scope)[-1].known_level is Level.MINIMAL for scope in scopes), 40
            )

            await ear.until(lambda: all(ear.changes(scope) for scope in scopes))
            assert await other.metric("degradation_engine_partitions") == 6
            for scope in scopes:
                assert versions_never_go_back(ear.states(scope))
                assert [change.to_level for change in ear.changes(scope)] == ["MINIMAL"]
        finally:
            other.stop()


async def test_without_kafka_it_lives_and_waits(tmp_path: Path) -> None:
    nobody = f"127.0.0.1:{free_ports(1)[0]}"
    engine = EngineProcess(nobody, tmp_path).start()
    try:
        deadline = asyncio.get_running_loop().time() + 20
        while await engine.status("/health/live") != 200:
            assert asyncio.get_running_loop().time() < deadline, engine.log.read_text()
            await asyncio.sleep(0.1)
        assert await engine.status("/health/ready") == 503
    finally:
        code = engine.stop()

    assert code == 0
    assert "Traceback" not in engine.log.read_text()


async def test_a_policy_that_breaks_a_rule_is_named_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(quick_policy_text().replace("weight: 50", "weight: 51"), encoding="utf-8")
    engine = EngineProcess("127.0.0.1:1", tmp_path, RESILIENCE_POLICY_FILE=str(path)).start()

    assert engine.process.wait(30) == 2
    assert "weights must add up to 100" in engine.log.read_text()
    assert "Traceback" not in engine.log.read_text()
