"""A store that has no level of its own, asked of a region's flag service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from resilience_client import LevelFeed, SseSource
from resilience_client.kafka import TOPICS, KafkaSource
from resilience_contracts import FeatureState, HoldSet, Level, LevelState, Topic, tombstone
from resilience_runtime import MemoryBus
from tests.contracts.states import hold_set, level_changed, level_state
from tests.flag_service.running import Replica, listening, running, tell, until

ASSISTANT = "integrations.ai_assistant"
REGION, STORE = "eu-west", "eu-west.store-042"


def current(level: Level, counter: int = 1, scope: str = REGION) -> LevelState:
    return level_state(level, (1, counter), at=datetime.now(UTC), scope=scope)


def held(scope: str, state: FeatureState = FeatureState.DISABLED) -> HoldSet:
    return hold_set(state, set_at=datetime.now(UTC)).model_copy(update={"scope": scope})


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus()


@pytest.fixture
async def replica(bus: MemoryBus, tmp_path: Path) -> AsyncIterator[Replica]:
    await tell(bus, current(Level.OPTIMAL))
    async with running(bus, tmp_path, on_port=True, resilience_scope=REGION) as one:
        await one.until_ready()
        yield one


async def read(replica: Replica, path: str) -> Any:
    answer = await replica.client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def evaluated(replica: Replica, flag: str) -> dict[str, Any]:
    asked = {"context": {"resilience.scope": STORE}}
    flagged: dict[str, Any] = (
        await replica.client.post(f"/ofrep/v1/evaluate/flags/{flag}", json=asked)
    ).json()
    return flagged


async def test_level_features_and_flags_of_a_store_are_its_regions_and_say_so(
    replica: Replica, bus: MemoryBus
) -> None:
    region, store = await read(replica, f"/v1/levels/{REGION}"), await read(replica, f"/v1/levels/{STORE}")
    assert (region["follows"], store["follows"]) == (None, REGION)
    assert {**store, "scope": REGION, "follows": None} == region
    assert (await read(replica, "/v1/levels"))["levels"] == [region]
    assert (await read(replica, f"/v1/features?scope={STORE}"))["follows"] == REGION

    await tell(bus, current(Level.LIMITED, 2))

    async def limited() -> bool:
        return bool((await evaluated(replica, "system.level"))["value"] == "LIMITED")

    await until(limited)
    flag = await evaluated(replica, ASSISTANT)
    assert (flag["value"], flag["metadata"]["follows"]) == (False, REGION)


async def test_a_store_is_on_its_own_from_its_first_level(replica: Replica, bus: MemoryBus) -> None:
    assert (await evaluated(replica, "system.level"))["metadata"]["follows"] == REGION

    await tell(bus, current(Level.MINIMAL, scope=STORE))

    async def alone() -> bool:
        return bool((await evaluated(replica, "system.level"))["value"] == "MINIMAL")

    await until(alone)
    assert "follows" not in (await evaluated(replica, "system.level"))["metadata"]
    assert (await read(replica, f"/v1/levels/{REGION}"))["level"] == "OPTIMAL"


async def test_the_same_sheet_of_flags_is_given_while_nothing_changes(replica: Replica) -> None:
    asked = {"context": {"resilience.scope": STORE}}
    first = await replica.client.post("/ofrep/v1/evaluate/flags", json=asked)

    again = await replica.client.post(
        "/ofrep/v1/evaluate/flags", json=asked, headers={"If-None-Match": first.headers["ETag"]}
    )

    assert (first.status_code, again.status_code) == (200, 304)


async def test_a_regions_hold_is_shown_in_the_region_alone_and_binds_its_store(
    replica: Replica, bus: MemoryBus
) -> None:
    await tell(bus, current(Level.OPTIMAL, scope=STORE))
    assert (await replica.put(ASSISTANT, scope=REGION, state="DISABLED")).status_code == 200

    async def disabled() -> bool:
        return (await evaluated(replica, ASSISTANT))["value"] is False

    await until(disabled)
    assert (await evaluated(replica, ASSISTANT))["metadata"]["because"] == "hold"
    holds = (await read(replica, "/v1/holds"))["holds"]
    assert [(hold["scope"], hold["target"]) for hold in holds] == [(REGION, ASSISTANT)]
    assert (await read(replica, f"/v1/holds?scope={STORE}"))["holds"] == []


async def test_a_store_can_be_held_before_it_has_a_level(replica: Replica) -> None:
    held_at = await replica.put(ASSISTANT, scope=STORE, state="FALLBACK")
    refused = await replica.put("level", scope=STORE, level="MINIMAL")
    nowhere = await replica.put(ASSISTANT, scope="us-east.store-1", state="FALLBACK")

    assert held_at.status_code == 200, held_at.text
    assert (await evaluated(replica, f"{ASSISTANT}.mode"))["value"] == "FALLBACK"
    assert (refused.status_code, refused.json()["code"]) == (422, "hold_invalid")
    assert "hold that of eu-west" in refused.json()["detail"]
    assert nowhere.status_code == 404


async def test_a_held_store_still_goes_with_its_region(replica: Replica, bus: MemoryBus) -> None:
    await replica.put(ASSISTANT, scope=STORE, state="FALLBACK")

    await tell(bus, current(Level.LIMITED, 2))

    async def limited() -> bool:
        return bool((await evaluated(replica, "system.level"))["value"] == "LIMITED")

    await until(limited)
    assert (await evaluated(replica, f"{ASSISTANT}.mode"))["value"] == "DISABLED"


async def test_a_stores_history_is_its_regions(replica: Replica, bus: MemoryBus) -> None:
    await tell(bus, level_changed().model_copy(update={"scope": REGION}))

    async def told() -> bool:
        return bool((await read(replica, f"/v1/levels/{STORE}/history"))["changes"])

    await until(told)


async def test_a_stores_stream_brings_its_regions_events_until_it_has_its_own(
    replica: Replica, bus: MemoryBus
) -> None:
    async with listening(replica, f"/v1/stream?scope={STORE}") as stream:
        _, snapshot = await stream.next("snapshot")
        assert [scope["scope"] for scope in snapshot["scopes"]] == [REGION]

        await tell(bus, current(Level.LIMITED, 2))
        assert (await stream.next("state"))[1]["level"]["level"] == "LIMITED"

        await tell(bus, current(Level.OPTIMAL, scope=STORE))
        assert (await stream.next("state"))[1]["scope"] == STORE

        await tell(bus, current(Level.EMERGENCY, 3))
        await tell(bus, current(Level.DEGRADED, 2, STORE))
        _, state = await stream.next("state")
        assert (state["scope"], state["level"]["level"]) == (STORE, "DEGRADED")


@pytest.mark.parametrize("source", ["sse", "kafka"])
async def test_a_client_of_a_store_follows_its_region(source: str, replica: Replica, bus: MemoryBus) -> None:
    over_kafka = KafkaSource("x", open_reader=lambda apply, begin: bus.reader(TOPICS, apply, begin))
    async with LevelFeed(SseSource(replica.url) if source == "sse" else over_kafka, STORE) as feed:
        await feed.known()
        assert (feed.level, feed.follows) == (Level.OPTIMAL, REGION)

        on_region = held(REGION)
        await tell(bus, on_region)
        await until(lambda: feed.state(ASSISTANT) is FeatureState.DISABLED)
        await bus.publish(*tombstone(Topic.HOLDS, on_region.key))
        await until(lambda: feed.state(ASSISTANT) is FeatureState.ENABLED)

        await tell(bus, current(Level.LIMITED, 2))
        await until(lambda: feed.level is Level.LIMITED)

        await tell(bus, current(Level.OPTIMAL, scope=STORE))
        await until(lambda: feed.level is Level.OPTIMAL)
        assert feed.follows is None


async def test_the_console_says_whom_a_store_follows(replica: Replica) -> None:
    await replica.put(ASSISTANT, scope=REGION, state="DISABLED")

    page = (await replica.client.get("/", params={"scope": STORE})).text
    form = (await replica.client.get("/hold", params={"scope": STORE, "target": ASSISTANT})).text

    assert "<dt>Follows</dt>" in page
    assert f"{ASSISTANT} in {REGION}" in page
    assert "Set the hold" in form
