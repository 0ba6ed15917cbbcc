"""Webhooks of stock over REST, to a real receiver: signed, once, in spite of what happens between."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from standardwebhooks import Webhook

from inventory_api.domain.access import needed_scope
from resilience_contracts import FeatureState, Topic
from resilience_runtime import MemoryBus
from tests.delivery.receiver import Receiver, receiving
from tests.flag_service.running import HandedLease, until
from tests.inventory_api.telling import Teller, back, low, stock, tell, telling

LOW, BACK = "retail.inventory.stock.low.v1", "retail.inventory.stock.back.v1"
CHANGED = "retail.inventory.availability.changed.v1"
WHERE = "/v1/webhooks"


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus()


@pytest.fixture
async def replica(bus: MemoryBus, tmp_path: Path) -> AsyncIterator[Teller]:
    async with telling(bus, tmp_path) as one:
        yield one


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as one:
        yield one


async def subscribe(
    replica: Teller, receiver: Receiver, key: str | None = None, **asked: Any
) -> dict[str, Any]:
    headers = {"Idempotency-Key": key} if key else {}
    answer = await replica.client.post(WHERE, json={"url": receiver.url} | asked, headers=headers)
    assert answer.status_code == 201, answer.text
    assert answer.headers["Location"] == f"{WHERE}/{answer.json()['id']}"
    made: dict[str, Any] = answer.json()
    return made


async def shown(replica: Teller, made: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = (await replica.client.get(f"{WHERE}/{made['id']}")).json()
    return answer


async def until_told(replica: Teller, made: dict[str, Any], count: int) -> dict[str, Any]:
    async def told() -> dict[str, Any] | None:
        now = await shown(replica, made)
        return now if len(now["log"]) >= count and not now["pending"] else None

    found: dict[str, Any] = await until(told)
    return found


def types(receiver: Receiver) -> list[str]:
    return [request.event["type"] for request in receiver.requests]


async def test_a_subscriber_is_told_of_edges_and_availability_and_both_libraries_understand(
    replica: Teller, bus: MemoryBus, receiver: Receiver
) -> None:
    await tell(bus, low("EARLIER"))
    await until(lambda: replica.part.live.stream._log.arrived)
    made = await subscribe(replica, receiver)
    edge = low(version=1)
    for number, news in enumerate((edge, stock(shop=2), back(version=2)), 1):
        await tell(bus, news)
        await until_told(replica, made, number)

    assert types(receiver) == [LOW, CHANGED, BACK]
    for request in receiver.requests:
        payload = Webhook(made["secret"]).verify(request.body, request.headers)
        event = JSONFormat().read(CloudEvent, request.body)
        assert (event.get_type(), event.get_subject()) == (payload["type"], "TEE")
        assert payload["timestamp"] == payload["time"]
    assert receiver.requests[0].event["data"] == edge.model_dump(mode="json")
    assert receiver.requests[1].event["data"]["locations"] == [{"location": "shop", "available": 2}]
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 3


async def test_only_what_was_chosen_is_sent(replica: Teller, bus: MemoryBus, receiver: Receiver) -> None:
    made = await subscribe(replica, receiver, kinds=["low"], skus=["TEE", "SOCK"], locations=["shop"])
    unwanted = (low("HAT"), low("TEE", "hall"), back("TEE"), stock("TEE", shop=3))
    await tell(bus, *unwanted, low("SOCK"))

    await until_told(replica, made, 1)

    assert [request.event["subject"] for request in receiver.requests] == ["SOCK"]
    assert made["kinds"] == ["low"]
    assert (made["skus"], made["locations"]) == (["SOCK", "TEE"], ["shop"])


async def test_the_same_key_makes_one_subscription_and_another_body_is_refused(
    replica: Teller, receiver: Receiver
) -> None:
    first = await subscribe(replica, receiver, key="order-7")
    second = await subscribe(replica, receiver, key="order-7")
    other = await replica.client.post(
        WHERE, json={"url": receiver.url, "kinds": ["low"]}, headers={"Idempotency-Key": "order-7"}
    )
    listed = (await replica.client.get(WHERE)).json()["items"]

    assert first == second
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert [one["id"] for one in listed] == [first["id"]]


async def test_the_secret_is_shown_once_and_not_in_the_topic(
    replica: Teller, bus: MemoryBus, receiver: Receiver
) -> None:
    made = await subscribe(replica, receiver)

    assert "secret" not in await shown(replica, made)
    stored = [record.value or b"" for record in bus.records(Topic.STOCK_WEBHOOKS)]
    assert stored
    assert all(made["secret"].encode() not in value for value in stored)


async def test_after_a_rotation_both_secrets_verify_for_a_day(
    replica: Teller, bus: MemoryBus, receiver: Receiver
) -> None:
    made = await subscribe(replica, receiver)
    rotated = await replica.client.post(f"{WHERE}/{made['id']}:rotate")
    await tell(bus, low())
    await until_told(replica, made, 1)

    (request,) = receiver.requests
    assert rotated.status_code == 200
    assert rotated.json()["secret"] != made["secret"]
    for secret in (made["secret"], rotated.json()["secret"]):
        Webhook(secret).verify(request.body, request.headers)
    assert (await shown(replica, made))["rotated_at"]


async def test_a_replay_sends_the_same_bytes_and_revives_an_endpoint_that_was_gone(
    replica: Teller, bus: MemoryBus, receiver: Receiver
) -> None:
    made = await subscribe(replica, receiver)
    await tell(bus, low("TEE"))
    await until_told(replica, made, 1)
    receiver.answer = "410 Gone"
    await tell(bus, low("SOCK"))

    async def gone() -> bool:
        return bool((await shown(replica, made))["condition"] == "gone")

    await until(gone)
    receiver.answer = "200 OK"
    await tell(bus, low("HAT"))
    replayed = await replica.client.post(f"{WHERE}/{made['id']}:replay")
    await until_told(replica, made, 4)

    assert replayed.status_code == 202
    by_id: dict[str, set[bytes]] = {}
    for request in receiver.requests:
        by_id.setdefault(request.headers["webhook-id"], set()).add(request.body)
    assert sorted(len(bodies) for bodies in by_id.values()) == [1, 1, 1]
    assert sorted(request.event["subject"] for request in receiver.requests) == [
        "HAT", "SOCK", "SOCK", "TEE", "TEE"
    ]  # fmt: skip


async def test_what_happened_while_nobody_delivered_is_told_by_who_takes_over_from_the_topics(
    bus: MemoryBus, tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inventory_api.live.NEWS_KEPT", 2)
    async with telling(bus, tmp_path) as first:
        made = await subscribe(first, receiver, kinds=["low"])
        await tell(bus, low("S0"))
        await until_told(first, made, 1)
    await tell(bus, *(low(f"S{number}") for number in range(1, 8)))

    async with telling(bus, tmp_path) as second:
        await until_told(second, made, 8)
        reads = second.archive.reads
        await tell(bus, low("S8"))
        await until_told(second, made, 9)
        assert (reads > 1, second.archive.reads) == (True, reads)
        for request in receiver.requests:
            Webhook(made["secret"]).verify(request.body, request.headers)

    assert sorted(request.event["subject"] for request in receiver.requests) == [f"S{n}" for n in range(9)]


async def test_of_two_replicas_one_delivers_and_the_other_goes_on_where_it_ended(
    bus: MemoryBus, tmp_path: Path, receiver: Receiver
) -> None:
    mine, theirs = HandedLease(), HandedLease(held=False)
    async with telling(bus, tmp_path, lease=mine) as one, telling(bus, tmp_path, lease=theirs) as two:
        made = await subscribe(two, receiver)
        await tell(bus, low("A"))
        await until_told(two, made, 1)
        mine.held, theirs.held = False, True
        await tell(bus, low("B"))
        await until_told(one, made, 2)

    assert [request.event["subject"] for request in receiver.requests] == ["A", "B"]


async def test_held_back_webhooks_are_kept_with_a_reason_and_sent_once_they_may_be(
    replica: Teller, bus: MemoryBus, receiver: Receiver
) -> None:
    made = await subscribe(replica, receiver)
    replica.set_features(2, integrations__webhooks=FeatureState.FALLBACK)
    await tell(bus, low())

    async def waiting() -> dict[str, Any] | None:
        now = await shown(replica, made)
        return now if now["pending"] else None

    kept = (await until(waiting))["kept"]
    assert (kept["feature"], kept["state"], kept["because"]) == ("integrations.webhooks", "FALLBACK", "level")
    assert not receiver.requests

    replica.set_features(3)
    await until_told(replica, made, 1)
    assert (await shown(replica, made))["kept"] is None


async def test_a_removed_subscription_is_told_nothing_more_and_unknown_ones_are_404(
    replica: Teller, bus: MemoryBus, receiver: Receiver
) -> None:
    made = await subscribe(replica, receiver)
    removed = await replica.client.delete(f"{WHERE}/{made['id']}")
    await tell(bus, low())
    async with receiving() as other:
        also = await subscribe(replica, other)
        await tell(bus, low("SOCK"))
        await until_told(replica, also, 1)

    where = f"{WHERE}/{made['id']}"
    client = replica.client
    answers = [
        await client.get(where),
        await client.delete(where),
        await client.post(f"{where}:replay"),
        await client.post(f"{where}:rotate"),
    ]
    assert removed.status_code == 204
    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(404, "webhook_not_found")}
    assert not receiver.requests


async def test_no_more_than_a_hundred_are_kept_and_kafka_away_is_said(
    replica: Teller, bus: MemoryBus, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resilience_delivery.subscriptions.CAPACITY", 1)
    await subscribe(replica, receiver)
    full: httpx.Response = await replica.client.post(WHERE, json={"url": receiver.url})
    assert (full.status_code, full.json()["code"]) == (409, "too_many_webhooks")

    monkeypatch.setattr("resilience_delivery.subscriptions.CAPACITY", 9)
    monkeypatch.setattr("resilience_runtime.memory.MAX_RECORD_BYTES", 1)
    away = await replica.client.post(WHERE, json={"url": receiver.url})
    assert (away.status_code, away.json()["code"]) == (503, "dependency_unavailable")
    assert away.headers["Retry-After"] == "2"


async def test_what_makes_no_sense_is_refused(replica: Teller) -> None:
    fine = "https://a.example"
    bodies: list[dict[str, Any]] = [
        {},
        {"url": "ftp://a.example"},
        {"url": "https://u:p@a.example"},
        {"url": "https://a.example/#x"},
        {"url": fine, "kinds": []},
        {"url": fine, "kinds": ["level"]},
        {"url": fine, "skus": [""]},
        {"url": fine, "about": ["low"]},
    ]
    for body in bodies:
        assert (await replica.client.post(WHERE, json=body)).status_code == 422, body


def test_webhooks_are_for_keys_that_may_administer() -> None:
    assert {needed_scope(method, f"{WHERE}/x") for method in ("GET", "POST", "DELETE")} == {"admin"}
    assert needed_scope("POST", WHERE) == "admin"
