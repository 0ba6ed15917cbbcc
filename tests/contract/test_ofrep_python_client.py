"""The OpenFeature client for Python, unmodified, against a running flag service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import FlagEvaluationDetails, Reason

from resilience_contracts import FeatureState, Level, LevelState
from resilience_runtime import MemoryBus
from tests.contract.retailer import POLICY
from tests.contracts.states import hold_set, level_state
from tests.flag_service.running import Replica, running, tell

ASSISTANT = "integrations.ai_assistant"
T = TypeVar("T")


def current(level: Level, counter: int = 1, scope: str = "default") -> LevelState:
    return level_state(level, (1, counter), at=datetime.now(UTC), scope=scope)


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus()


@pytest.fixture
async def replica(bus: MemoryBus, tmp_path: Path) -> AsyncIterator[Replica]:
    await tell(bus, current(Level.LIMITED))
    await tell(bus, current(Level.OPTIMAL, scope="other"))
    async with running(bus, tmp_path, on_port=True, policy=POLICY) as one:
        await one.until_state(ASSISTANT, "DISABLED")
        yield one


@pytest.fixture
async def client(replica: Replica) -> AsyncIterator[OpenFeatureClient]:
    api.set_provider(OFREPProvider(replica.url, timeout=5.0), "ofrep")
    yield api.get_client("ofrep")
    api.clear_providers()


async def ask(call: Callable[..., T], key: str, *args: Any, **options: Any) -> T:
    return await asyncio.to_thread(call, key, *args, **options)


async def test_booleans_follow_the_level(client: OpenFeatureClient, replica: Replica, bus: MemoryBus) -> None:
    limited = await ask(client.get_boolean_details, ASSISTANT, default_value=True)
    await tell(bus, current(Level.DEGRADED, 2))
    await replica.until_state(ASSISTANT, "FALLBACK")
    degraded = await ask(client.get_boolean_details, ASSISTANT, default_value=False)

    assert (limited.value, limited.variant, limited.reason) == (False, "disabled", Reason.STATIC)
    assert (degraded.value, degraded.variant) == (True, "fallback")
    assert limited.error_code is degraded.error_code is None
    assert limited.flag_metadata["because"] == "level"


async def test_strings_and_integers_are_read(client: OpenFeatureClient) -> None:
    assert await ask(client.get_string_value, f"{ASSISTANT}.mode", "none") == "DISABLED"
    assert await ask(client.get_string_value, "system.level", "none") == "LIMITED"
    assert await ask(client.get_integer_value, "system.level.rank", -1) == 2


async def test_the_context_picks_the_scope(client: OpenFeatureClient) -> None:
    other = EvaluationContext("user-1", {"resilience.scope": "other", "tier": "gold"})

    assert (
        await ask(client.get_boolean_value, ASSISTANT, default_value=False, evaluation_context=other) is True
    )


async def test_a_hold_is_seen_with_its_end(
    client: OpenFeatureClient, replica: Replica, bus: MemoryBus
) -> None:
    await tell(bus, hold_set(FeatureState.ENABLED, set_at=datetime.now(UTC), allow_better=True))
    await replica.until_state(ASSISTANT, "ENABLED")

    details: FlagEvaluationDetails[bool] = await ask(
        client.get_boolean_details, ASSISTANT, default_value=False
    )

    assert details.value is True
    assert details.flag_metadata["because"] == "hold"
    assert details.flag_metadata["hold_id"] == "h1"


@pytest.mark.parametrize("key", ["nothing.of.the.kind", "UPPER", "a/b", "a?b#c"])
async def test_an_unknown_flag_gives_the_default_and_says_why(client: OpenFeatureClient, key: str) -> None:
    details = await ask(client.get_boolean_details, key, default_value=True)

    assert (details.value, details.error_code) == (True, ErrorCode.FLAG_NOT_FOUND)
    assert details.error_message


async def test_the_wrong_type_gives_the_default_and_says_why(client: OpenFeatureClient) -> None:
    details = await ask(client.get_string_details, ASSISTANT, "mine")

    assert (details.value, details.error_code) == ("mine", ErrorCode.TYPE_MISMATCH)


async def test_a_context_that_is_wrong_gives_the_default_and_says_why(client: OpenFeatureClient) -> None:
    wrong = EvaluationContext("user-1", {"resilience.scope": "NOT A SCOPE"})

    details = await ask(client.get_boolean_details, ASSISTANT, default_value=True, evaluation_context=wrong)

    assert (details.value, details.error_code) == (True, ErrorCode.INVALID_CONTEXT)


async def test_a_level_nobody_heard_leaves_the_callers_default(client: OpenFeatureClient) -> None:
    elsewhere = EvaluationContext("user-1", {"resilience.scope": "elsewhere"})

    level = await ask(client.get_string_details, "system.level", "mine", elsewhere)
    reservations = await ask(
        client.get_boolean_details,
        "inventory.reservations",
        default_value=False,
        evaluation_context=elsewhere,
    )

    assert (level.value, level.error_code) == ("mine", None)
    assert (reservations.value, reservations.reason) == (True, Reason.UNKNOWN)


GOLD = EvaluationContext("user-1", {"tier": "gold"})


async def test_every_type_of_the_retailers_own_flags_is_read(client: OpenFeatureClient) -> None:
    express = await ask(
        client.get_boolean_value, "shop.express", default_value=False, evaluation_context=GOLD
    )

    assert express is True
    assert await ask(client.get_string_value, "shop.banner", "none", GOLD) == "Willkommen"
    assert await ask(client.get_integer_value, "shop.basket_limit", 0, GOLD) == 50
    assert await ask(client.get_float_value, "shop.discount", 1.0, GOLD) == 12.5
    layout = await ask(client.get_object_value, "shop.layout", {}, GOLD)
    assert layout == {"columns": 3, "hero": {"title": "Gold", "ratio": 1.5}}


async def test_a_whole_number_of_a_flag_with_fractions_keeps_its_decimal_point(
    client: OpenFeatureClient,
) -> None:
    details = await ask(client.get_float_details, "shop.discount", 1.0)

    assert (details.value, details.variant, details.error_code) == (0.0, "none", None)
    assert details.reason == Reason.DEFAULT


async def test_details_say_whether_a_target_a_share_or_a_prerequisite_decided(
    client: OpenFeatureClient,
) -> None:
    target = await ask(client.get_float_details, "shop.discount", 1.0, GOLD)
    share = await ask(client.get_boolean_details, "shop.half", default_value=True, evaluation_context=GOLD)
    unmet = await ask(client.get_boolean_details, "shop.express_badge", default_value=True)

    assert (target.reason, target.flag_metadata["because"]) == (Reason.TARGETING_MATCH, "targeting")
    assert (share.reason, share.flag_metadata["because"]) == (Reason.SPLIT, "split")
    assert (unmet.value, unmet.reason, unmet.flag_metadata["because"]) == (
        False,
        Reason.STATIC,
        "prerequisite",
    )


async def test_a_percentage_of_nobody_gives_the_default_and_says_why(client: OpenFeatureClient) -> None:
    details = await ask(client.get_boolean_details, "shop.half", default_value=True)

    assert (details.value, details.error_code) == (True, ErrorCode.TARGETING_KEY_MISSING)
    assert details.error_message


async def test_a_refused_client_waits_and_then_asks_again(bus: MemoryBus, tmp_path: Path) -> None:
    await tell(bus, current(Level.LIMITED))
    async with running(bus, tmp_path, on_port=True, rate_limit_per_s=1) as replica:
        api.set_provider(OFREPProvider(replica.url, timeout=5.0), "refused")
        client = api.get_client("refused")
        async with asyncio.timeout(15):
            refused = await until_error(client, ErrorCode.GENERAL)
            again = await until_error(client, None)
        api.clear_providers()

    assert refused.value is True
    assert again.value is False


async def until_error(client: OpenFeatureClient, code: ErrorCode | None) -> FlagEvaluationDetails[bool]:
    while True:
        details: FlagEvaluationDetails[bool] = await ask(
            client.get_boolean_details, ASSISTANT, default_value=True
        )
        if details.error_code == code:
            return details
        await asyncio.sleep(0.01)
