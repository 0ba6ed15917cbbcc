"""The flag service as a process, on a real Kafka."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import psutil
import pytest

from resilience_cli.stack import free_ports
from resilience_cli.topics import apply_declared
from resilience_contracts import (
    FeatureState,
    Level,
    Topic,
    encode,
)
from resilience_contracts.audit import faults
from resilience_runtime import KafkaPublisher
from tests.contracts.states import hold_set, level_changed
from tests.flag_service.processes import HELD, WAIT_S, World
from tests.flag_service.running import until

MEGABYTE = 1024 * 1024


@pytest.fixture(scope="module")
def topics(kafka_bootstrap: str) -> str:
    apply_declared(kafka_bootstrap)
    return kafka_bootstrap


@pytest.fixture
async def world(topics: str, tmp_path: Path) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack, KafkaPublisher(topics) as publisher:
        yield World(topics, tmp_path, publisher, stack)


async def test_levels_and_holds_reach_every_replica_and_every_surface(world: World) -> None:
    await world.tell(Level.OPTIMAL)
    one, other = await world.flags("flags-1"), await world.flags("flags-2")
    await one.until_state(FeatureState.ENABLED)
    await other.until_state(FeatureState.ENABLED)

    await world.tell(Level.LIMITED, 2)
    await asyncio.gather(one.until_state(FeatureState.DISABLED), other.until_state(FeatureState.DISABLED))
    hold = (await one.put(world.scope, state="ENABLED", allow_better=True)).json()
    shown = await other.until_state(FeatureState.ENABLED)
    tags = [(await flags.client.post("/ofrep/v1/evaluate/flags")).headers["ETag"] for flags in (one, other)]

    assert shown["hold"] == hold
    assert shown["automatic"] == "DISABLED"
    assert tags[0] == tags[1]


async def test_a_hold_is_in_force_on_the_other_replica_within_250_ms_at_the_slowest_but_one(
    world: World,
) -> None:
    await world.tell(Level.OPTIMAL)
    one, other = await world.flags("flags-1"), await world.flags("flags-2")
    await one.until_state(FeatureState.ENABLED)
    await other.until_state(FeatureState.ENABLED)
    took_s = []
    loop = asyncio.get_running_loop()

    for number in range(20):
        wanted = (FeatureState.DISABLED, FeatureState.FALLBACK)[number % 2]
        began_s = loop.time()
        assert (await one.put(world.scope, state=wanted)).status_code == 200
        await other.until_state(wanted)
        took_s.append(loop.time() - began_s)

    assert sorted(took_s)[-2] < 0.25, took_s


async def test_a_hold_ends_on_time_on_both_replicas_and_its_end_is_written(world: World) -> None:
    await world.tell(Level.OPTIMAL)
    one, other = await world.flags("flags-1"), await world.flags("flags-2")
    await one.until_state(FeatureState.ENABLED)
    hold = (await one.put(world.scope, state="DISABLED", expires_in_s=1.5)).json()
    await other.until_state(FeatureState.DISABLED)

    await asyncio.gather(one.until_state(FeatureState.ENABLED), other.until_state(FeatureState.ENABLED))

    late_s = (datetime.now(UTC) - datetime.fromisoformat(hold["expires_at"])).total_seconds()
    assert 0 <= late_s < 1

    async def expired() -> bool:
        return any(entry.action == "hold.expire" for entry in await world.audit())

    await until(expired)
    assert not list(faults(await world.audit()))


async def test_it_starts_without_kafka_from_its_snapshot_and_catches_up_later(world: World) -> None:
    await world.tell(Level.LIMITED)
    first = await world.flags()
    await first.until_state(FeatureState.DISABLED)
    await first.put(world.scope, state="FALLBACK", allow_better=True)
    first.process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(first.process.wait(), 10) == 0

    alone = await world.flags(KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{free_ports(1)[0]}")
    shown = await alone.until_state(FeatureState.FALLBACK)
    ready = await alone.client.get("/health/ready")
    refused = await alone.put(world.scope, state="DISABLED")
    alone.process.kill()
    await alone.process.wait()

    assert shown["because"] == "hold"
    assert (ready.status_code, ready.json()["checks"]["restored"]) == (200, True)
    assert (refused.status_code, refused.json()["code"]) == (503, "not_stored")

    back = await world.flags()
    await world.tell(Level.OPTIMAL, 2)

    async def caught_up() -> bool:
        return bool((await back.until_state(FeatureState.FALLBACK))["automatic"] == "ENABLED")

    await until(caught_up)
    assert (await back.put(world.scope, state="DISABLED")).status_code == 200
    entries = await world.audit()
    assert [entry.sequence for entry in entries] == [0, 1]
    assert not list(faults(entries))


async def test_garbage_stops_nothing_and_each_lands_among_the_dead_letters_with_its_reason(
    world: World,
) -> None:
    await world.tell(Level.OPTIMAL)
    flags = await world.flags()
    await flags.until_state(FeatureState.ENABLED)
    key = f"{world.scope}/{HELD}".encode()
    hold = encode(
        hold_set(set_at=datetime.now(UTC)).model_copy(update={"scope": world.scope}), "/services/test/1"
    )
    future = tuple(
        (name, b"retail.resilience.hold.set.v9" if name == "ce_type" else v) for name, v in hold.headers
    )
    wrong = json.dumps(json.loads(hold.value or b"") | {"version": "three"}).encode()
    garbage = {
        "random": (os.urandom(64), ()),
        "empty": (b"", ()),
        "large": (b"x" * 900_000, hold.headers),
        "wrong type": (wrong, hold.headers),
        "future version": (hold.value, future),
    }

    for topic in (Topic.HOLDS, Topic.LEVELS, Topic.LEVEL_CHANGES):
        for name, (value, headers) in garbage.items():
            if topic is not Topic.LEVEL_CHANGES or name != "large":
                await world.publisher.publish(topic, key, value, headers)
    await world.publisher.publish(*hold)
    await flags.until_state(FeatureState.DISABLED)

    async def reasons(topic: Topic) -> list[str]:
        letters = [letter for letter in await world.records(f"{topic}.dlq") if letter.key == key]
        return [dict(letter.headers)["dlq_error_message"].decode() for letter in letters]

    async def all_there() -> bool:
        return len(await reasons(Topic.HOLDS)) == 5 and len(await reasons(Topic.LEVELS)) == 5

    await until(all_there)
    text = " | ".join(await reasons(Topic.HOLDS))
    assert "value is empty" in text
    assert "900000 bytes" in text
    assert "version" in text
    assert "event_unknown" in text
    assert flags.process.returncode is None


async def test_history_comes_from_the_topic_of_changes(world: World) -> None:
    await world.tell(Level.OPTIMAL)
    change = level_changed().model_copy(update={"scope": world.scope})
    await world.publisher.publish(*encode(change, "/services/test/1"))
    flags = await world.flags()
    await flags.until_state(FeatureState.ENABLED)

    changes = (await flags.client.get(f"/v1/levels/{world.scope}/history")).json()["changes"]

    assert [(one["from_level"], one["to_level"], one["cause"]) for one in changes] == [
        ("OPTIMAL", "MINIMAL", "postgresql DOWN since 12:00:00")
    ]


async def test_a_killed_service_is_back_with_the_same_state_and_an_unbroken_chain(world: World) -> None:
    await world.tell(Level.OPTIMAL)
    first = await world.flags()
    await first.until_state(FeatureState.ENABLED)
    await first.put(world.scope, state="DISABLED")
    first.process.kill()
    await first.process.wait()

    second = await world.flags()
    await second.until_state(FeatureState.DISABLED)
    await second.put(world.scope, state="FALLBACK")

    entries = await world.audit()
    assert [entry.action for entry in entries] == ["hold.set", "hold.change"]
    assert not list(faults(entries))


async def test_it_is_small_says_how_it_is_and_stops_fast_with_streams_open(world: World) -> None:
    await world.tell(Level.LIMITED)
    flags = await world.flags()
    await flags.until_state(FeatureState.DISABLED)
    async with flags.client.stream("GET", "/v1/stream") as stream:
        lines = stream.aiter_lines()
        assert await anext(lines) == "event: snapshot"
        metrics = (await flags.client.get(flags.metrics_url)).text
        rss_mib = psutil.Process(flags.process.pid).memory_info().rss / MEGABYTE
        began_s = asyncio.get_running_loop().time()

        flags.process.send_signal(signal.SIGTERM)
        code = await asyncio.wait_for(flags.process.wait(), 10)

    assert f'flag_level_rank{{scope="{world.scope}"}} 2.0' in metrics
    assert "flag_stream_clients 1.0" in metrics
    assert rss_mib < 150
    assert code == 0
    assert asyncio.get_running_loop().time() - began_s < 4


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("PORT", "taken", "PORT="),
        ("RESILIENCE_POLICY_FILE", "/nowhere/policy.yaml", "RESILIENCE_POLICY_FILE"),
        ("API_KEYS_FILE", "/nowhere/keys.json", "API_KEYS_FILE"),
        ("RESILIENCE_SCOPE", "Not A Scope", "RESILIENCE_SCOPE"),
    ],
)
async def test_a_wrong_setting_is_one_line_and_code_2(
    world: World, variable: str, value: str, said: str
) -> None:
    if value == "taken":
        taken = await world.flags("flags-0")
        async with asyncio.timeout(WAIT_S):
            while True:
                with suppress(httpx.TransportError):
                    await taken.client.get("/health/live")
                    break
                await asyncio.sleep(0.02)
        value = str(taken.client.base_url.port)

    flags = await world.flags(**{variable: value})

    assert await asyncio.wait_for(flags.process.wait(), WAIT_S) == 2
    said_lines = [line for line in flags.log.read_text().splitlines() if said in line]
    assert len(said_lines) == 1
    assert "Traceback" not in flags.log.read_text()


async def test_a_hold_far_in_the_past_never_shows(world: World) -> None:
    await world.tell(Level.OPTIMAL)
    old = hold_set(set_at=datetime.now(UTC) - timedelta(hours=2)).model_copy(update={"scope": world.scope})
    await world.publisher.publish(*encode(old, "/services/test/1"))

    flags = await world.flags()

    assert (await flags.until_state(FeatureState.ENABLED))["hold"] is None
