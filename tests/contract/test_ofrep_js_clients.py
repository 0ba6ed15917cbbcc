"""The OpenFeature clients for JavaScript, unmodified, against a running flag service."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from resilience_contracts import FeatureState, Level, LevelState, tombstone
from resilience_contracts.topics import Topic
from resilience_runtime import MemoryBus
from tests.contract.js_client import js_client
from tests.contract.retailer import POLICY
from tests.contracts.states import hold_set, level_state
from tests.flag_service.running import Replica, running, tell

ASSISTANT = "integrations.ai_assistant"
BULK = "/ofrep/v1/evaluate/flags"
KINDS = pytest.mark.parametrize("kind", ["web", "server"])
SOMEBODY = {"targetingKey": "u1"}
IN_FLIGHT_MS = 500
"""What was asked before the refusal was read does not count."""


def current(level: Level, counter: int = 1, scope: str = "default") -> LevelState:
    return level_state(level, (1, counter), at=datetime.now(UTC), scope=scope)


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus()


@pytest.fixture
async def replica(bus: MemoryBus, tmp_path: Path) -> AsyncIterator[Replica]:
    await tell(bus, current(Level.LIMITED))
    async with running(bus, tmp_path, on_port=True, policy=POLICY) as one:
        await one.until_state(ASSISTANT, "DISABLED")
        yield one


@KINDS
async def test_every_type_is_read(replica: Replica, kind: str) -> None:
    gold = SOMEBODY | {"tier": "gold"}
    async with js_client(kind, replica.url, gold) as client:
        cases: list[tuple[str, str, Any, Any]] = [
            ("boolean", ASSISTANT, True, False),
            ("boolean", "shop.express", False, True),
            ("string", "system.level", "none", "LIMITED"),
            ("string", "shop.banner", "none", "Willkommen"),
            ("number", "system.level.rank", -1, 2),
            ("number", "shop.discount", 0, 12.5),
            ("number", "shop.basket_limit", 0, 50),
            ("object", "shop.layout", {}, {"columns": 3, "hero": {"title": "Gold", "ratio": 1.5}}),
        ]
        got = [(key, await client.value(ask, key, fallback, gold)) for ask, key, fallback, _ in cases]

    assert got == [(key, value) for _, key, _, value in cases]


@KINDS
async def test_details_say_why(replica: Replica, kind: str) -> None:
    gold = SOMEBODY | {"tier": "gold"}
    async with js_client(kind, replica.url, gold) as client:
        by_level = await client.ask("boolean", ASSISTANT, fallback=True, context=gold)
        by_target = await client.ask("number", "shop.discount", 0, gold)
        by_share = await client.ask("boolean", "shop.half", fallback=False, context=gold)

    assert (by_level["reason"], by_level["variant"]) == ("STATIC", "disabled")
    assert by_level["flagMetadata"]["because"] == "level"
    assert (by_target["reason"], by_target["variant"]) == ("TARGETING_MATCH", "gold")
    assert by_share["reason"] == "SPLIT"


@KINDS
async def test_an_unknown_flag_and_a_wrong_type_give_the_default_and_say_why(
    replica: Replica, kind: str
) -> None:
    async with js_client(kind, replica.url, SOMEBODY) as client:
        unknown = await client.ask("boolean", "nothing.here", fallback=True, context=SOMEBODY)
        wrong = await client.ask("string", ASSISTANT, "mine", SOMEBODY)

    assert (unknown["value"], unknown["errorCode"]) == (True, "FLAG_NOT_FOUND")
    assert (wrong["value"], wrong["errorCode"]) == ("mine", "TYPE_MISMATCH")


@KINDS
async def test_a_percentage_of_nobody_is_an_error_of_that_flag_alone(replica: Replica, kind: str) -> None:
    async with js_client(kind, replica.url) as client:
        nobody = await client.ask("boolean", "shop.half", fallback=True)
        other = await client.value("string", "system.level", "none")

    assert (nobody["value"], nobody["errorCode"]) == (True, "TARGETING_KEY_MISSING")
    assert other == "LIMITED"


async def test_the_web_client_follows_level_and_hold_by_itself(replica: Replica, bus: MemoryBus) -> None:
    async with js_client("web", replica.url, SOMEBODY) as client:
        assert await client.value("boolean", ASSISTANT, fallback=True) is False

        after = len(client.lines)
        await tell(bus, current(Level.OPTIMAL, 2))
        changed = await client.changed(after=after)
        assert ASSISTANT in changed["flags"]
        assert await client.value("boolean", ASSISTANT, fallback=False) is True

        after = len(client.lines)
        hold = hold_set(FeatureState.DISABLED, set_at=datetime.now(UTC))
        await tell(bus, hold)
        await client.changed(after=after)
        held = await client.ask("boolean", ASSISTANT, fallback=True)
        assert (held["value"], held["flagMetadata"]["because"]) == (False, "hold")

        after = len(client.lines)
        await bus.publish(*tombstone(Topic.HOLDS, hold.key))
        await client.changed(after=after)
        assert await client.value("boolean", ASSISTANT, fallback=False) is True


async def test_the_web_client_follows_a_hold_on_a_flag_of_the_retailer(
    replica: Replica, bus: MemoryBus
) -> None:
    async with js_client("web", replica.url, SOMEBODY | {"tier": "gold"}) as client:
        assert await client.value("boolean", "shop.express", fallback=False) is True

        after = len(client.lines)
        answer = await replica.put("shop.express", state="DISABLED")
        assert answer.status_code == 200
        changed = await client.changed(after=after)

        assert set(changed["flags"]) >= {"shop.express", "shop.express_badge"}
        assert await client.value("boolean", "shop.express", fallback=True) is False
        assert await client.value("boolean", "shop.express_badge", fallback=True) is False


async def test_the_web_client_sends_its_tag_and_is_spared_the_body(replica: Replica, bus: MemoryBus) -> None:
    async with js_client("web", replica.url, SOMEBODY) as client:
        # The stream opens with a refetchEvaluation, and nothing has changed since the first answer.
        spared = await client.until(lambda line: line.get("status") == 304)

    first = next(line for line in client.fetches() if line["status"] == 200)
    assert first["ifNoneMatch"] is None
    assert spared["ifNoneMatch"] == first["etag"]


async def test_a_tag_never_keeps_the_values_of_another_context(replica: Replica) -> None:
    """Bug row 1 (flagd 2012): the client sends the old tag with new attributes; that is no 304."""
    async with js_client("web", replica.url, SOMEBODY | {"tier": "gold"}) as client:
        assert await client.value("number", "shop.discount", 0) == 12.5
        await client.set_context(SOMEBODY | {"tier": "silver"})
        await client.until(lambda line: line.get("status") == 200 and line.get("ifNoneMatch"))

        assert await client.value("number", "shop.discount", 0) == 0.0


async def test_the_web_client_catches_up_after_its_stream_was_cut(bus: MemoryBus, tmp_path: Path) -> None:
    """The gap: what changed while the stream was down is asked for as soon as it is up again."""
    await tell(bus, current(Level.LIMITED))
    async with running(bus, tmp_path, on_port=True, policy=POLICY) as replica:
        await replica.until_state(ASSISTANT, "DISABLED")
        async with js_client("web", replica.url, SOMEBODY) as client:
            await client.until(lambda line: line.get("status") == 304)
            after = len(client.lines)
            replica.service.hub.hang_up()
            await client.until(lambda line: line.get("event") == "PROVIDER_STALE", after=after)
            await tell(bus, current(Level.OPTIMAL, 2))

            await client.changed(after=after)
            assert await client.value("boolean", ASSISTANT, fallback=False) is True


@KINDS
async def test_a_refused_client_waits_as_long_as_it_is_told(
    bus: MemoryBus, tmp_path: Path, kind: str
) -> None:
    await tell(bus, current(Level.LIMITED))
    async with (
        running(bus, tmp_path, on_port=True, rate_limit_per_s=1) as replica,
        js_client(kind, replica.url, SOMEBODY) as client,
    ):

        async def turn(count: int) -> dict[str, Any]:
            if kind == "web":
                await client.set_context(SOMEBODY | {"turn": count})
            return await client.ask("boolean", ASSISTANT, fallback=True, context=SOMEBODY)

        async with asyncio.timeout(15):
            refused: list[dict[str, Any]] = []
            for count in itertools.count():
                answer = await turn(count)
                refused = refused or [line for line in client.fetches() if line["status"] == 429]
                if refused and kind == "server" and client.fetches()[-1]["status"] == 429:
                    assert (answer["value"], answer["errorCode"]) == (True, "GENERAL")
                if refused and client.fetches()[-1]["sentMs"] > refused[0]["answeredMs"] + IN_FLIGHT_MS:
                    break

    assert refused[0]["retryAfterS"] >= 1
    waited_ms = client.fetches()[-1]["sentMs"] - refused[0]["answeredMs"]
    assert waited_ms >= refused[0]["retryAfterS"] * 1000 - 50
