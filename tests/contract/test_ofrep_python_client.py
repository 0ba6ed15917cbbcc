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
    async with running(bus, tmp_path, on_port=True) as one:
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
