"""OFREP 0.3.0 as its clients need it, beyond what its document says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flag_service.http.ofrep import OfrepError, read_context
from resilience_contracts import FeatureState, Level, LevelState
from resilience_runtime import MemoryBus
from tests.contract.retailer import POLICY
from tests.contracts.states import hold_set, level_state
from tests.flag_service.running import Replica, listening, running, tell

BULK = "/ofrep/v1/evaluate/flags"
ASSISTANT = "integrations.ai_assistant"
REASONS = {"STATIC", "TARGETING_MATCH", "SPLIT", "DISABLED", "UNKNOWN", "DEFAULT"}


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


def flags_of(body: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {flag["key"]: flag for flag in body["flags"]}


async def test_one_flag_has_every_member_that_clients_need(replica: Replica) -> None:
    answer = await replica.client.post(f"{BULK}/{ASSISTANT}", json={"context": {"targetingKey": "u1"}})

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert list(body) == ["key", "value", "reason", "variant", "metadata"]
    assert (body["key"], body["value"], body["reason"], body["variant"]) == (
        ASSISTANT,
        False,
        "STATIC",
        "disabled",
    )
    assert body["metadata"]["level"] == "LIMITED"


async def test_all_flags_are_what_each_is_alone(replica: Replica) -> None:
    bulk = flags_of((await replica.client.post(BULK, json={"context": {}})).json())

    assert len(bulk) == 34
    for key, flag in bulk.items():
        assert (await replica.client.post(f"{BULK}/{key}", json={})).json() == flag
        assert flag["reason"] in REASONS
        assert all(isinstance(value, bool | int | str) for value in flag["metadata"].values())


@pytest.mark.parametrize(
    "body",
    [
        None,
        b"",
        b"  ",
        b"{}",
        b'{"context": {}}',
        b'{"context": null}',
        b'{"context": {"a": [1, {"b": null}]}}',
    ],
)
async def test_a_missing_context_or_targeting_key_is_what_clients_send(
    replica: Replica, body: bytes | None
) -> None:
    assert (await replica.client.post(f"{BULK}/{ASSISTANT}", content=body)).status_code == 200
    assert (await replica.client.post(BULK, content=body)).status_code == 200


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "PARSE_ERROR"),
        (b"\xff\xfe", "PARSE_ERROR"),
        (b"[]", "PARSE_ERROR"),
        (b'"x"', "PARSE_ERROR"),
        (b"[" * 100_000, "PARSE_ERROR"),
        (b'{"context": []}', "INVALID_CONTEXT"),
        (b'{"context": "x"}', "INVALID_CONTEXT"),
        (b'{"context": {"targetingKey": 3}}', "INVALID_CONTEXT"),
        (b'{"context": {"resilience.scope": 3}}', "INVALID_CONTEXT"),
        (b'{"context": {"resilience.scope": "NOT A SCOPE"}}', "INVALID_CONTEXT"),
    ],
)
async def test_a_body_that_cannot_be_read_is_an_ofrep_error(replica: Replica, body: bytes, code: str) -> None:
    single = await replica.client.post(f"{BULK}/{ASSISTANT}", content=body)
    bulk = await replica.client.post(BULK, content=body)

    assert (single.status_code, bulk.status_code) == (400, 400)
    assert single.json()["key"] == ASSISTANT
    assert single.json()["errorCode"] == bulk.json()["errorCode"] == code
    assert isinstance(single.json()["errorDetails"], str)
    assert "key" not in bulk.json()


@pytest.mark.parametrize(
    "key", ["nothing", "a/b", "a%2Fb", "UPPER", "x" * 500, "%F0%9F%9B%92", "a.mode.mode"]
)
async def test_an_unknown_flag_is_not_found_in_ofreps_shape(replica: Replica, key: str) -> None:
    """Bug row 21 (js-sdk 1577): a key that breaks out of its place in the path is still a key."""
    answer = await replica.client.post(f"{BULK}/{key}", json={})

    assert answer.status_code == 404
    assert answer.json()["errorCode"] == "FLAG_NOT_FOUND"
    assert set(answer.json()) == {"key", "errorCode", "errorDetails"}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", BULK, 405),
        ("GET", f"{BULK}/{ASSISTANT}", 405),
        ("PUT", BULK, 405),
        ("GET", "/ofrep/v1/configuration", 404),
        ("POST", "/ofrep/v2/evaluate/flags", 404),
        ("POST", "/ofrep/", 404),
    ],
)
async def test_no_error_leaves_ofrep_in_another_shape(
    replica: Replica, method: str, path: str, status: int
) -> None:
    answer = await replica.client.request(method, path)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json()) == {"errorCode", "errorDetails"}
    assert answer.json()["errorCode"] != "FLAG_NOT_FOUND"


async def test_a_context_of_more_than_a_megabyte_is_refused_in_ofreps_shape(replica: Replica) -> None:
    body = json.dumps({"context": {"x": "y" * 1_100_000}}).encode()

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 65_536):
            yield body[start : start + 65_536]

    declared = await replica.client.post(BULK, content=body)
    streamed = await replica.client.post(BULK, content=chunks())

    for answer in (declared, streamed):
        assert answer.status_code == 413
        assert set(answer.json()) == {"errorCode", "errorDetails"}


async def test_the_bulk_tag_is_strong_and_spares_the_body(replica: Replica) -> None:
    """Bug row 19 (unleash-dotnet-sdk 310): a strong tag, met by its weak and unquoted forms too."""
    first = await replica.client.post(BULK, json={"context": {"targetingKey": "u"}})
    tag = first.headers["ETag"]

    assert tag.startswith('"')
    for header in (tag, f"W/{tag}", tag.strip('"'), f'"x", {tag}'):
        again = await replica.client.post(BULK, json={}, headers={"If-None-Match": header})
        assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
    for header in ("*", '"x"', '"'):
        assert (
            await replica.client.post(BULK, json={}, headers={"If-None-Match": header})
        ).status_code == 200


async def test_a_tag_of_another_context_never_spares_the_body(replica: Replica) -> None:
    tag = (await replica.client.post(BULK, json={"context": {"resilience.scope": "default"}})).headers["ETag"]

    other = await replica.client.post(
        BULK, json={"context": {"resilience.scope": "other"}}, headers={"If-None-Match": tag}
    )

    assert other.status_code == 200
    assert flags_of(other.json())[ASSISTANT]["value"] is True


async def test_nothing_in_the_body_moves_with_the_clock(replica: Replica, bus: MemoryBus) -> None:
    await tell(bus, hold_set(FeatureState.FALLBACK, set_at=datetime.now(UTC), allow_better=True))
    await replica.until_state(ASSISTANT, "FALLBACK")
    before = await replica.client.post(BULK, json={})

    async with listening(replica) as stream:
        await tell(bus, current(Level.LIMITED))
        await stream.next("heartbeat")
    after = await replica.client.post(BULK, json={})

    assert after.content == before.content
    held = flags_of(after.json())[ASSISTANT]
    assert (held["variant"], held["metadata"]["because"], held["metadata"]["hold_id"]) == (
        "fallback",
        "hold",
        "h1",
    )


async def test_all_flags_name_the_stream_to_follow(replica: Replica) -> None:
    body = (await replica.client.post(BULK, json={"context": {"resilience.scope": "other"}})).json()

    assert body["eventStreams"] == [
        {"type": "sse", "endpoint": {"requestUri": "/ofrep/v1/stream?scope=other"}, "inactivityDelaySec": 120}
    ]


async def test_a_scope_nobody_heard_of_gets_the_unknown_mode_and_no_level(replica: Replica) -> None:
    flags = flags_of(
        (await replica.client.post(BULK, json={"context": {"resilience.scope": "elsewhere"}})).json()
    )

    assert flags["inventory.reservations"]["value"] is True
    assert flags["inventory.reservations"]["reason"] == "UNKNOWN"
    assert "value" not in flags["system.level"]


async def test_browsers_of_other_origins_may_ask_and_read_the_tag(replica: Replica) -> None:
    origin = {"Origin": "https://shop.example"}
    preflight = await replica.client.options(
        BULK,
        headers=origin
        | {
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type,if-none-match",
        },
    )
    answer = await replica.client.post(BULK, json={}, headers=origin)

    assert preflight.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert {"ETag", "Retry-After"} <= set(answer.headers["Access-Control-Expose-Headers"].split(", "))


KEYS = st.text() | st.sampled_from(["context", "targetingKey", "resilience.scope"])
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner),
)


@given(st.binary(max_size=200) | ANYTHING.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_read_or_refused_with_a_code_that_clients_know(body: bytes) -> None:
    code = None
    try:
        read_context(body)
    except OfrepError as error:
        code = error.code

    assert code in {None, "PARSE_ERROR", "INVALID_CONTEXT"}


async def test_attributes_of_any_type_are_taken_and_meet_no_condition_of_another(
    bus: MemoryBus, tmp_path: Path
) -> None:
    await tell(bus, current(Level.OPTIMAL))
    odd = [None, True, 0, 1e300, [], ["gold"], {"gold": 1}, "gold ", "G\u00f6ld", "\ud800", 10**400]
    async with running(bus, tmp_path, policy=POLICY) as replica:
        await replica.until_ready()
        for tier in odd:
            context = {"context": {"targetingKey": "u", "tier": tier}}
            answer = await replica.client.post(BULK, content=json.dumps(context))
            assert answer.status_code == 200
            assert flags_of(answer.json())["shop.express"]["value"] is False


async def test_a_percentage_of_nobody_is_an_error_item_among_answers(bus: MemoryBus, tmp_path: Path) -> None:
    """Bug row 7 (posthog-js 2996): no flag turns off because it could not be evaluated."""
    await tell(bus, current(Level.OPTIMAL))
    async with running(bus, tmp_path, policy=POLICY) as replica:
        await replica.until_ready()
        flags = flags_of((await replica.client.post(BULK, json={})).json())
        single = await replica.client.post(f"{BULK}/shop.half", json={})

    assert set(flags["shop.half"]) == {"key", "errorCode", "errorDetails"}
    assert flags["shop.half"]["errorCode"] == "TARGETING_KEY_MISSING"
    assert flags["shop.express"]["value"] is False
    assert (single.status_code, single.json()) == (400, flags["shop.half"])


async def test_a_tag_covers_the_attributes_that_decide(bus: MemoryBus, tmp_path: Path) -> None:
    """Bug row 1 (flagd 2012, 2036): the tag of gold's answer does not spare silver's."""
    await tell(bus, current(Level.OPTIMAL))
    async with running(bus, tmp_path, policy=POLICY) as replica:
        await replica.until_ready()

        async def ask(tier: str, tag: str = "") -> httpx.Response:
            context = {"context": {"targetingKey": "u", "tier": tier}}
            return await replica.client.post(BULK, json=context, headers={"If-None-Match": tag})

        gold = await ask("gold")
        silver = await ask("silver", gold.headers["ETag"])
        again = await ask("gold", gold.headers["ETag"])

    assert (silver.status_code, again.status_code) == (200, 304)
    assert flags_of(silver.json())["shop.discount"]["value"] == 0.0
    assert b'"shop.discount","value":0.0,' in silver.content


async def test_no_flag_needs_a_vendors_key_in_the_context(replica: Replica) -> None:
    """Bug row 18 (flipt 3412, 3267): bulk is every flag, and metadata is an object."""
    flags = (await replica.client.post(BULK, json={"context": {"targetingKey": "u"}})).json()["flags"]

    assert len(flags) == 34
    assert all(isinstance(flag["metadata"], dict) for flag in flags)


@pytest.mark.parametrize(
    "header", ["", ",", ",,,", '"', "W/", 'W/"', '""', "\u00e9", '"a" "b"', "x" * 4000, '"' * 3999]
)
async def test_an_ill_formed_tag_is_no_match_and_no_error(replica: Replica, header: str) -> None:
    answer = await replica.client.post(BULK, json={}, headers={b"If-None-Match": header.encode("latin-1")})

    assert answer.status_code == 200


async def test_ten_thousand_flags_are_answered_without_holding_up_the_others(
    bus: MemoryBus, tmp_path: Path
) -> None:
    rule = POLICY.flags["shop.half"]
    flags = {f"shop.f{number}": rule for number in range(10_000)}
    await tell(bus, current(Level.OPTIMAL))
    async with running(
        bus, tmp_path, on_port=True, policy=POLICY.model_copy(update={"flags": flags})
    ) as replica:
        await replica.until_ready()
        first = await replica.client.post(BULK, json={"context": {"targetingKey": "u"}})

        asked = asyncio.create_task(replica.client.post(BULK, json={"context": {"targetingKey": "v"}}))
        meanwhile = 0
        while not asked.done():
            assert (await replica.client.post(f"{BULK}/{ASSISTANT}", json={})).status_code == 200
            meanwhile += not asked.done()

    assert len(first.json()["flags"]) == 10_034
    assert asked.result().status_code == 200
    assert meanwhile >= 1


async def test_a_context_of_nearly_a_megabyte_is_read(replica: Replica) -> None:
    context = {"targetingKey": "u", "basket": [{"sku": f"{n:08}", "n": n} for n in range(30_000)]}
    body = json.dumps({"context": context}).encode()

    assert 900_000 < len(body) < 1024 * 1024
    assert (await replica.client.post(BULK, content=body)).status_code == 200


async def test_replicas_give_the_same_bytes_to_the_same_caller(bus: MemoryBus, tmp_path: Path) -> None:
    await tell(bus, current(Level.LIMITED))
    context = {"context": {"targetingKey": "u", "tier": "gold"}}
    async with (
        running(bus, tmp_path / "1", "flags-1", boot="1", policy=POLICY) as one,
        running(bus, tmp_path / "2", "flags-2", boot="2", policy=POLICY) as other,
    ):
        for held in (None, FeatureState.DISABLED):
            if held:
                await tell(bus, hold_set(held, set_at=datetime.now(UTC), target="shop.express"))
            answers = []
            for replica in (one, other):
                await replica.until_ready()
                async with asyncio.timeout(10):
                    while True:
                        answer = await replica.client.post(BULK, json=context)
                        shown = flags_of(answer.json())["shop.express"]["value"]
                        if shown is (held is None):
                            break
                answers.append(answer)

            assert answers[0].content == answers[1].content
            assert answers[0].headers["ETag"] == answers[1].headers["ETag"]
