from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flag_service.domain.stream_tokens import ROUND_S, StreamTokens
from resilience_contracts import Level
from resilience_runtime import MemoryBus
from tests.contracts.states import level_state
from tests.flag_service.running import READ_KEY, WRITE_KEY, Replica, listening, running, tell

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TOKENS = StreamTokens(b"k" * 32)
BULK = "/ofrep/v1/evaluate/flags"
READER = {"X-API-Key": READ_KEY}


@pytest.fixture
async def closed(tmp_path: Path) -> AsyncIterator[Replica]:
    bus = MemoryBus()
    await tell(bus, level_state(Level.OPTIMAL, at=datetime.now(UTC)))
    async with running(bus, tmp_path, on_port=True, closed_reads=True) as one:
        await one.until_ready()
        yield one


@given(st.integers(0, 10 * ROUND_S))
def test_a_token_is_good_for_15_to_30_minutes_and_alike_within_a_round(after_s: int) -> None:
    now = NOW + timedelta(seconds=after_s)
    token = TOKENS.issue(now)
    same = TOKENS.issue(now.replace(microsecond=1))

    assert timedelta(seconds=ROUND_S) < token.expires_at - now <= timedelta(seconds=2 * ROUND_S)
    assert TOKENS.good(token.text, token.expires_at - timedelta(seconds=1))
    assert not TOKENS.good(token.text, token.expires_at)
    assert same == token


@pytest.mark.parametrize("text", ["", ".", "x.y", "99999999999.00", "²." + "0" * 64, "9" * 5000 + ".0"])
def test_what_is_no_token_of_ours_is_not_good(text: str) -> None:
    assert not TOKENS.good(text, NOW)


def test_a_token_that_was_made_to_last_longer_or_with_another_key_is_not_good() -> None:
    token = TOKENS.issue(NOW)
    expires, _, mac = token.text.partition(".")

    assert not TOKENS.good(f"{int(expires) + 1}.{mac}", NOW)
    assert not StreamTokens(b"other" * 8).good(token.text, NOW)


@pytest.mark.parametrize(
    "path", ["/v1/levels", "/v1/features", "/v1/audit", "/v1/holds", "/v1/stream", "/", "/openapi.json"]
)
async def test_closed_reads_need_a_key(closed: Replica, path: str) -> None:
    refused = await closed.client.get(path)

    assert (refused.status_code, refused.json()["code"]) == (401, "key_needed")
    if path != "/v1/stream":
        assert (await closed.client.get(path, headers=READER)).status_code == 200
    assert (await closed.client.get("/health/ready")).status_code == 200


async def test_closed_ofrep_takes_either_header_and_refuses_in_its_own_shape_readable_by_browsers(
    closed: Replica,
) -> None:
    origin = {"Origin": "https://shop.example"}

    refused = await closed.client.post(BULK, headers=origin)
    by_key = await closed.client.post(BULK, headers=READER)
    by_bearer = await closed.client.post(BULK, headers={"Authorization": f"Bearer {READ_KEY}"})
    preflight = await closed.client.options(BULK, headers=origin | {"Access-Control-Request-Method": "POST"})

    assert (refused.status_code, refused.json()["errorCode"]) == (401, "GENERAL")
    assert refused.headers["Access-Control-Allow-Origin"] == "*"
    assert [by_key.status_code, by_bearer.status_code, preflight.status_code] == [200, 200, 200]


async def test_the_stream_that_a_bulk_answer_names_opens_without_a_header(closed: Replica) -> None:
    bulk = await closed.client.post(BULK, headers=READER)
    path = bulk.json()["eventStreams"][0]["endpoint"]["requestUri"]
    again = await closed.client.post(BULK, headers=READER | {"If-None-Match": bulk.headers["ETag"]})

    async with listening(closed, path) as stream:
        first = await stream.next()
    forged = await closed.client.get(path[:-1] + ("0" if path[-1] != "0" else "1"))

    assert first == ("message", {"type": "refetchEvaluation"})
    assert again.status_code == 304
    assert forged.status_code == 401


async def test_a_token_opens_streams_and_nothing_else(closed: Replica) -> None:
    token = (await closed.client.post("/v1/stream-tokens", headers={"X-API-Key": WRITE_KEY})).json()["token"]

    async with listening(closed, f"/v1/stream?token={token}") as stream:
        assert (await stream.next())[0] == "snapshot"
    assert (await closed.client.get(f"/v1/levels?token={token}")).status_code == 401
    assert (await closed.client.post("/v1/stream-tokens")).status_code == 401
