from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from resilience_contracts import Level
from resilience_runtime import MemoryBus
from tests.contracts.states import level_state
from tests.flag_service.running import WRITE_KEY, Replica, running, tell

HELD = "integrations.ai_assistant"
BULK = "/ofrep/v1/evaluate/flags"


@pytest.fixture
async def replica(tmp_path: Path) -> AsyncIterator[Replica]:
    bus = MemoryBus()
    await tell(bus, level_state(Level.OPTIMAL, at=datetime.now(UTC)))
    async with running(bus, tmp_path, rate_limit_per_s=0.5) as one:
        await one.until_ready()
        yield one


async def test_a_caller_that_asks_too_often_is_told_when_to_come_back_in_whole_seconds(
    replica: Replica,
) -> None:
    answers = [await replica.client.get("/v1/levels") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 429, 429]
    assert int(answers[1].headers["Retry-After"]) >= 1
    assert answers[1].json()["code"] == "too_many_requests"


async def test_ofrep_refuses_in_its_own_shape_and_browsers_may_read_when_to_come_back(
    replica: Replica,
) -> None:
    await replica.client.post(BULK)

    answer = await replica.client.post(BULK, headers={"Origin": "https://shop.example"})

    assert answer.status_code == 429
    assert set(answer.json()) == {"errorCode", "errorDetails"}
    assert int(answer.headers["Retry-After"]) >= 1
    assert "Retry-After" in answer.headers["Access-Control-Expose-Headers"]


async def test_an_operator_with_a_key_is_not_held_up_by_others_and_health_is_always_told(
    replica: Replica,
) -> None:
    for _ in range(3):
        await replica.client.get("/v1/levels")

    assert (await replica.put(HELD, state="DISABLED")).status_code == 200
    assert (await replica.client.get("/v1/holds", headers={"X-API-Key": "unknown"})).status_code == 429
    assert (await replica.client.get("/v1/holds", headers={"X-API-Key": WRITE_KEY})).status_code == 429
    assert (await replica.client.get("/health/ready")).status_code == 200
    assert (await replica.client.get("/")).status_code == 200
