from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from standardwebhooks import Webhook

from flag_service.domain.notices import Bulletin, Endings, of_level, remains
from flag_service.domain.subscription import Subscription, Topical
from resilience_contracts import AuditRecorded, Level, LevelChanged, Topic, decode, tombstone
from resilience_contracts.audit import log_faults
from resilience_contracts.events import VersionPart
from resilience_delivery import Message, News, Progress
from resilience_delivery.courier import Courier
from resilience_delivery.sender import AddressGuard, WebhookSender
from resilience_delivery.signing_key import SigningKey
from resilience_delivery.subscriptions import Subscriptions
from resilience_delivery.webhook import Delivery
from resilience_runtime import ManualClock, MemoryBus, PublishError
from resilience_runtime.pulse import Pulse
from tests.contracts.states import level_changed, level_state
from tests.delivery.receiver import Received, Receiver, receiving
from tests.flag_service.running import (
    LOOPBACK,
    READ_KEY,
    WRITE_KEY,
    HandedLease,
    Replica,
    running,
    tell,
    until,
)

HELD, WEBHOOKS = "integrations.ai_assistant", "integrations.webhooks"
KEY = {"X-API-Key": WRITE_KEY}
LEVEL, HOLD = "retail.resilience.level.changed.v1", "retail.resilience.hold.set.v1"
ENDED = "retail.resilience.hold.ended.v1"


def serving(
    bus: MemoryBus, directory: Path, name: str = "flags-1", **options: Any
) -> AbstractAsyncContextManager[Replica]:
    key = directory / "shared.key"
    key.write_text("k" * 40)
    return running(
        bus, directory / name, name, webhook_allowed_networks=LOOPBACK, signing_key_file=key, **options
    )


@pytest.fixture
async def bus() -> MemoryBus:
    bus = MemoryBus()
    await tell(bus, level_state(Level.OPTIMAL, at=datetime.now(UTC)))
    return bus


@pytest.fixture
async def replica(bus: MemoryBus, tmp_path: Path) -> AsyncIterator[Replica]:
    async with serving(bus, tmp_path) as one:
        await one.until_state(HELD, "ENABLED")
        yield one


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as one:
        yield one


async def subscribe(replica: Replica, receiver: Receiver, **asked: Any) -> dict[str, Any]:
    answer = await replica.client.post("/v1/webhooks", json={"url": receiver.url} | asked, headers=KEY)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def shown(replica: Replica, name: str) -> dict[str, Any]:
    answer: dict[str, Any] = (await replica.client.get(f"/v1/webhooks/{name}", headers=KEY)).json()
    return answer


async def until_told(replica: Replica, name: str) -> dict[str, Any]:
    async def told() -> dict[str, Any] | None:
        now = await shown(replica, name)
        return now if now["log"] and not now["pending"] else None

    found: dict[str, Any] = await until(told)
    return found


def types(requests: list[Received]) -> list[str]:
    return [request.event["type"] for request in requests]


async def test_a_subscriber_is_told_of_levels_and_holds_and_both_libraries_understand(
    replica: Replica, bus: MemoryBus, receiver: Receiver
) -> None:
    made = await subscribe(replica, receiver)
    change = level_changed()
    await tell(bus, change)
    await until(lambda: len(receiver.requests) == 1)
    hold = (await replica.put(HELD, state="DISABLED")).json()
    await until(lambda: len(receiver.requests) == 2)
    await replica.client.delete(f"/v1/holds/default/{HELD}", headers=KEY)
    await until(lambda: len(receiver.requests) == 3)

    assert types(receiver.requests) == [LEVEL, HOLD, ENDED]
    for request in receiver.requests:
        payload = Webhook(made["secret"]).verify(request.body, request.headers)
        event = JSONFormat().read(CloudEvent, request.body)
        assert event.get_type() == payload["type"]
        assert payload["timestamp"] == payload["time"]
    assert receiver.requests[0].event["data"] == change.model_dump(mode="json")
    assert receiver.requests[1].event["data"]["hold_id"] == hold["hold_id"]
    assert receiver.requests[2].event["data"] == receiver.requests[1].event["data"]
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 3


async def test_the_end_of_a_hold_by_time_is_told_with_that_time(replica: Replica, receiver: Receiver) -> None:
    await subscribe(replica, receiver, about=["hold"])
    hold = (await replica.put(HELD, state="DISABLED", expires_in_s=0.4)).json()

    await until(lambda: types(receiver.requests) == [HOLD, ENDED])

    assert receiver.requests[1].event["time"] == hold["expires_at"]


async def test_a_subscriber_of_a_store_is_told_of_the_region_that_it_follows(
    replica: Replica, bus: MemoryBus, receiver: Receiver
) -> None:
    region, store, now = "eu-north", "eu-north.s1", datetime.now(UTC)
    in_region, in_store = (level_changed().model_copy(update={"scope": scope}) for scope in (region, store))
    made = await subscribe(replica, receiver, scope=store)
    await tell(bus, level_changed())
    await tell(bus, level_state(Level.OPTIMAL, at=now, scope=region))
    await tell(bus, in_region)
    await until(lambda: len(receiver.requests) == 1)
    await replica.put(HELD, scope=region, state="DISABLED")
    await until(lambda: len(receiver.requests) == 2)

    await tell(bus, level_state(Level.OPTIMAL, at=now, scope=store))
    await tell(bus, in_store)
    await until(lambda: len(receiver.requests) == 3)
    await until_told(replica, made["id"])
    assert [request.event["subject"] for request in receiver.requests] == [
        region,
        f"{region}/{HELD}",
        store,
    ]

    await replica.client.delete(f"/v1/holds/{region}/{HELD}", headers=KEY)
    await until(lambda: types(receiver.requests)[3:] == [ENDED])


async def test_only_what_was_asked_for_is_sent(replica: Replica, bus: MemoryBus, receiver: Receiver) -> None:
    async with receiving() as levels, receiving() as elsewhere:
        await subscribe(replica, levels, about=["level"])
        await subscribe(replica, elsewhere, scope="eu-west")
        made = await subscribe(replica, receiver)
        await replica.put(HELD, state="DISABLED")
        await tell(bus, level_changed())
        await until(lambda: len(receiver.requests) == 2)
        await until(lambda: len(levels.requests) == 1)
        await until_told(replica, made["id"])

        assert types(levels.requests) == [LEVEL]
        assert not elsewhere.requests


async def test_the_secret_is_shown_once_and_not_in_the_topic(
    replica: Replica, bus: MemoryBus, receiver: Receiver
) -> None:
    made = await subscribe(replica, receiver)

    later = await replica.client.get("/v1/webhooks", headers=KEY)

    secret = made["secret"]
    assert "secret" not in later.json()["webhooks"][0]
    assert all(secret.encode() not in (record.value or b"") for record in bus.records(Topic.WEBHOOKS))


@pytest.mark.parametrize(("headers", "status"), [({}, 401), ({"X-API-Key": READ_KEY}, 403)])
async def test_webhooks_are_for_keys_that_may_write(
    replica: Replica, headers: dict[str, str], status: int
) -> None:
    name = f"/v1/webhooks/wh_{'0' * 32}"
    answers = [
        await replica.client.get("/v1/webhooks", headers=headers),
        await replica.client.post("/v1/webhooks", json={"url": "https://a.example"}, headers=headers),
        await replica.client.get(name, headers=headers),
        await replica.client.delete(name, headers=headers),
        await replica.client.post(f"{name}:replay", headers=headers),
        await replica.client.post(f"{name}:rotate", headers=headers),
    ]

    assert [answer.status_code for answer in answers] == [status] * 6


@pytest.mark.parametrize(
    "url",
    ["ftp://a.example", "https://", "https://u:p@a.example", "https://a.example/#x", "https://[::1", "x"],
)
async def test_what_is_no_endpoint_is_refused(replica: Replica, url: str) -> None:
    answer = await replica.client.post("/v1/webhooks", json={"url": url}, headers=KEY)

    assert answer.status_code == 422


async def test_a_private_address_is_refused_unless_allowed(
    bus: MemoryBus, tmp_path: Path, receiver: Receiver
) -> None:
    async with running(bus, tmp_path) as strict:
        await strict.until_ready()
        made = await subscribe(strict, receiver)
        await tell(bus, level_changed())

        async def refused() -> bool:
            return bool((await shown(strict, made["id"]))["log"])

        await until(refused)
        log = (await shown(strict, made["id"]))["log"]

    assert "not a public address" in log[0]["detail"]
    assert receiver.connections == 0


async def test_410_ends_deliveries_and_a_replay_begins_them_again(
    replica: Replica, bus: MemoryBus, receiver: Receiver
) -> None:
    made = await subscribe(replica, receiver)
    receiver.answer = "410 Gone"
    await tell(bus, level_changed())

    async def gone() -> bool:
        return bool((await shown(replica, made["id"]))["condition"] == "gone")

    await until(gone)
    receiver.answer = "200 OK"
    await replica.put(HELD, state="DISABLED")
    async with receiving() as other:
        await until_told(replica, (await subscribe(replica, other))["id"])
    assert len(receiver.requests) == 1

    replayed = await replica.client.post(f"/v1/webhooks/{made['id']}:replay", headers=KEY)
    await until_told(replica, made["id"])

    assert replayed.status_code == 202
    assert sorted(types(receiver.requests)) == sorted([LEVEL, LEVEL, HOLD])


async def test_a_replay_sends_the_same_bytes_under_the_same_id_signed_afresh(
    replica: Replica, bus: MemoryBus, receiver: Receiver
) -> None:
    made = await subscribe(replica, receiver)
    await tell(bus, level_changed())
    await until_told(replica, made["id"])

    await replica.client.post(f"/v1/webhooks/{made['id']}:replay", headers=KEY)
    await until(lambda: len(receiver.requests) == 2)

    first, second = receiver.requests
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    Webhook(made["secret"]).verify(second.body, second.headers)


async def test_after_a_rotation_both_secrets_verify_for_a_day(
    replica: Replica, bus: MemoryBus, receiver: Receiver
) -> None:
    made = await subscribe(replica, receiver)
    rotated = await replica.client.post(f"/v1/webhooks/{made['id']}:rotate", headers=KEY)
    await tell(bus, level_changed())
    await until_told(replica, made["id"])

    assert rotated.json()["secret"] != made["secret"]
    for secret in (made["secret"], rotated.json()["secret"]):
        Webhook(secret).verify(receiver.requests[0].body, receiver.requests[0].headers)


async def test_a_removed_subscription_is_told_nothing_more(
    replica: Replica, bus: MemoryBus, receiver: Receiver
) -> None:
    made = await subscribe(replica, receiver)
    removed = await replica.client.delete(f"/v1/webhooks/{made['id']}", headers=KEY)
    await tell(bus, level_changed())
    async with receiving() as other:
        await until_told(replica, (await subscribe(replica, other))["id"])

    gone = await replica.client.get(f"/v1/webhooks/{made['id']}", headers=KEY)
    assert (removed.status_code, gone.status_code) == (204, 404)
    assert not receiver.requests


async def test_what_waits_is_sent_after_a_restart_with_the_same_bytes_and_nothing_is_sent_again(
    bus: MemoryBus, tmp_path: Path, receiver: Receiver
) -> None:
    await tell(bus, level_changed())
    async with serving(bus, tmp_path) as first:
        await first.until_ready()
        await first.put(HELD, state="DISABLED")
        done = await subscribe(first, receiver, about=["hold"])
        await until_told(first, done["id"])
        receiver.answer = "500 Internal Server Error"
        made = await subscribe(first, receiver, about=["level"])
        await until(lambda: len(receiver.requests) == 2)

        async def noted() -> bool:
            return bool((await shown(first, made["id"]))["log"])

        await until(noted)
    (tmp_path / "flags-1" / "flag-service.json").unlink()
    receiver.answer = "200 OK"

    async with serving(bus, tmp_path) as second:
        await second.until_ready()
        assert (await shown(second, made["id"]))["pending"]
        await second.client.post(f"/v1/webhooks/{made['id']}:replay", headers=KEY)
        await until_told(second, made["id"])

    assert types(receiver.requests) == [HOLD, LEVEL, LEVEL]
    assert receiver.requests[1].body == receiver.requests[2].body


async def test_a_hold_that_ended_while_nobody_delivered_is_told_as_ended(
    bus: MemoryBus, tmp_path: Path, receiver: Receiver
) -> None:
    async with serving(bus, tmp_path) as first:
        await first.until_ready()
        made = await subscribe(first, receiver)
        hold = (await first.put(HELD, state="DISABLED")).json()
        await until_told(first, made["id"])
    await bus.publish(*tombstone(Topic.HOLDS, f"default/{HELD}"))

    async with serving(bus, tmp_path):
        await until(lambda: types(receiver.requests) == [HOLD, ENDED])

    ended_at = datetime.fromtimestamp(bus.records(Topic.HOLDS)[-1].timestamp_ms / 1000, UTC)
    assert datetime.fromisoformat(receiver.requests[1].event["time"]) == ended_at
    assert receiver.requests[1].event["data"]["hold_id"] == hold["hold_id"]


async def test_of_two_replicas_one_delivers_and_the_other_goes_on_where_it_ended(
    bus: MemoryBus, tmp_path: Path, receiver: Receiver
) -> None:
    mine, theirs = HandedLease(), HandedLease(held=False)
    async with (
        serving(bus, tmp_path, lease=mine) as one,
        serving(bus, tmp_path, "flags-2", lease=theirs) as two,
    ):
        await one.until_ready()
        await two.until_ready()
        made = await subscribe(two, receiver)
        await tell(bus, level_changed())
        await until_told(two, made["id"])
        mine.held, theirs.held = False, True
        await two.put(HELD, state="DISABLED")
        await until_told(one, made["id"])
        await until(lambda: len(receiver.requests) == 2)
        for request in receiver.requests:
            Webhook(made["secret"]).verify(request.body, request.headers)

    assert types(receiver.requests) == [LEVEL, HOLD]


async def test_a_replica_with_another_signing_key_does_not_deliver(
    bus: MemoryBus, tmp_path: Path, receiver: Receiver
) -> None:
    async with serving(bus, tmp_path) as one:
        await one.until_ready()
        made = await subscribe(one, receiver)
    await tell(bus, level_changed())

    async with running(bus, tmp_path / "alien", "alien", webhook_allowed_networks=LOOPBACK) as alien:
        await alien.until_ready()
        own = await subscribe(alien, receiver)
        await until_told(alien, own["id"])
        assert (await shown(alien, made["id"]))["signed_here"] is False

    assert len(receiver.requests) == 1


@asynccontextmanager
async def delivering(
    clock: ManualClock, changes: list[LevelChanged]
) -> AsyncIterator[Subscriptions[Subscription]]:
    """Run what delivers, and nothing else that would wake as the clock goes on."""
    bus, pulse, key = MemoryBus(clock=clock), Pulse(), SigningKey(b"k" * 32)
    subscriptions = Subscriptions(
        Topic.WEBHOOKS, Subscription, publisher=bus, clock=clock, pulse=pulse, key_id=key.id
    )
    bulletin = Bulletin(lambda: len(changes), lambda: (changes[-1:], []), Endings())

    async def news(subscription: Subscription, progress: Progress) -> News:
        return News(bulletin.news(subscription, progress))

    courier = Courier(
        subscriptions=subscriptions,
        news=news,
        ready=lambda: True,
        kept=lambda _: None,
        secrets=key.webhook_secrets,
        key_id=key.id,
        sender=WebhookSender(AddressGuard(LOOPBACK), ssl.create_default_context(), clock),
        clock=clock,
        pulse=pulse,
        rng=Random(1),
    )
    reader = bus.reader((Topic.WEBHOOKS,), subscriptions.apply, subscriptions.begin)
    tasks = [asyncio.create_task(reader.run()), asyncio.create_task(courier.run())]
    try:
        yield subscriptions
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def test_a_replica_that_lags_tells_nobody_of_an_older_level_again() -> None:
    older, newer = (
        level_changed(),
        level_changed().model_copy(update={"version": VersionPart(epoch=1, counter=99)}),
    )
    newest = level_changed().model_copy(update={"version": VersionPart(epoch=2, counter=1)})
    told = of_level(newer)
    subscription = Subscription(
        id="1",
        url="https://shop.example",
        created_at=datetime.now(UTC),
        created_by="olivia",
        key_id="k",
        about=frozenset(Topical),
        scope=None,
    )

    def offered(change: LevelChanged, known: Message) -> list[Message]:
        bulletin = Bulletin(lambda: change, lambda: ([change], []), Endings())
        return bulletin.news(subscription, Progress(deliveries={known.subject: Delivery(known, 1)}))

    for known in (told, remains(told)):
        assert known is not None
        assert known.id == told.id
        assert offered(older, known) == []
        assert offered(newer, known) == [told]
        assert offered(newest, known) == [of_level(newest)]
    assert offered(older, replace(told, body="")) == [of_level(older)], (
        "what an earlier release kept says nothing"
    )


async def test_an_outage_of_three_days_is_survived_and_every_attempt_sends_the_same_bytes(
    receiver: Receiver,
) -> None:
    """Bug of better-auth 8844: signed once, later attempts were refused as too old."""
    began = datetime.now(UTC)
    clock = ManualClock(began)
    receiver.answer = "502 Bad Gateway"
    async with delivering(clock, [level_changed()]) as subscriptions:
        made = subscriptions.draft(receiver.url, "olivia", about=frozenset(Topical), scope=None)
        await subscriptions.store(made)

        def noted(number: int) -> bool:
            return len(subscriptions.progress(made.id).log) == number

        for number in range(1, 10):
            await until(partial(noted, number))
            due = subscriptions.progress(made.id).next_at
            assert due is not None
            receiver.answer = "200 OK" if due > began + timedelta(days=3) else receiver.answer
            await clock.advance((due - clock.now()).total_seconds() + 0.001)
        await until(lambda: not subscriptions.progress(made.id).pending)

    assert len(receiver.requests) == 10
    assert len({request.body for request in receiver.requests}) == 1
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1
    stamps = [int(request.headers["webhook-timestamp"]) for request in receiver.requests]
    assert stamps == sorted(set(stamps))
    assert stamps[-1] - stamps[0] > 3 * 86_400
    assert len({request.headers["webhook-signature"] for request in receiver.requests}) == 10


async def test_429_is_waited_for_even_by_news(tmp_path: Path, receiver: Receiver) -> None:
    clock = ManualClock(datetime.now(UTC))
    bus = MemoryBus(clock=clock)
    await tell(bus, level_state(Level.OPTIMAL, at=clock.now()))
    async with serving(bus, tmp_path, clock=clock) as replica:
        await replica.until_ready()
        receiver.answer = "429 Too Many Requests\r\nRetry-After: 60"
        made = await subscribe(replica, receiver)
        await tell(bus, level_changed())
        await until(lambda: len(receiver.requests) == 1)
        receiver.answer = "200 OK"
        await replica.put(HELD, state="DISABLED")

        async def waiting() -> bool:
            return len((await shown(replica, made["id"]))["pending"]) == 2

        await until(waiting)
        await clock.advance(59)
        assert len(receiver.requests) == 1
        await clock.advance(2)
        await until_told(replica, made["id"])

    assert types(receiver.requests) == [LEVEL, HOLD, LEVEL]


async def test_a_slow_receiver_holds_nobody_up(replica: Replica, bus: MemoryBus, receiver: Receiver) -> None:
    async with receiving() as slow:
        slow.answer = None
        await subscribe(replica, slow)
        made = await subscribe(replica, receiver)
        await tell(bus, level_changed())
        await until(lambda: slow.requests)

        told = await until_told(replica, made["id"])

    assert told["log"][0]["outcome"] == "delivered"


@pytest.mark.parametrize("value", [b"{", b"[]", json.dumps({"id": 1}).encode()])
async def test_a_record_that_is_none_of_ours_changes_nothing(
    replica: Replica, bus: MemoryBus, receiver: Receiver, value: bytes
) -> None:
    made = await subscribe(replica, receiver)
    await bus.publish(Topic.WEBHOOKS, f"subscription/{made['id']}".encode(), value)
    await bus.publish(Topic.WEBHOOKS, b"what", value)
    await tell(bus, level_changed())

    await until_told(replica, made["id"])

    assert len(bus.records(f"{Topic.WEBHOOKS}.dlq")) == 2


async def test_what_is_done_to_a_subscription_is_in_the_audit_chain_without_the_url_that_may_be_a_secret(
    replica: Replica, bus: MemoryBus, receiver: Receiver
) -> None:
    made = await subscribe(replica, receiver, scope="default")
    asked = KEY | {"X-Correlation-ID": "ticket-7"}
    await replica.client.post(f"/v1/webhooks/{made['id']}:replay", headers=asked)
    await replica.client.post(f"/v1/webhooks/{made['id']}:rotate", headers=KEY)
    await replica.client.delete(f"/v1/webhooks/{made['id']}", headers=KEY)

    entries = [decode(record.value, record.headers).event for record in bus.records(Topic.AUDIT)]
    audit = [entry for entry in entries if isinstance(entry, AuditRecorded)]
    assert [entry.action for entry in audit] == [
        "webhook.create", "webhook.replay", "webhook.rotate", "webhook.delete"
    ]  # fmt: skip
    assert {(entry.target, entry.actor, entry.scope) for entry in audit} == {
        (made["id"], "olivia", "default")
    }
    assert audit[1].correlation_id == "ticket-7"
    assert audit[0].before is None
    assert audit[0].after == audit[1].before
    assert audit[1].after == audit[2].before
    assert audit[2].after == audit[3].before
    assert audit[0].after is not None
    assert audit[0].after["endpoint"] == receiver.url.removesuffix("/hooks")
    assert audit[3].after is None
    assert made["secret"] not in str(audit)
    assert not list(log_faults(audit))
    forged = [audit[0], audit[1].model_copy(update={"actor": "mallory"}), *audit[2:]]
    assert list(log_faults(forged))


async def test_a_subscription_that_kafka_did_not_store_is_undone_in_the_audit_chain(
    replica: Replica, bus: MemoryBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = bus.publish

    async def refusing(topic: str, *record: Any) -> None:
        if topic == Topic.WEBHOOKS:
            raise PublishError("not stored")
        await publish(topic, *record)

    monkeypatch.setattr(bus, "publish", refusing)
    answer = await replica.client.post("/v1/webhooks", json={"url": "https://a.example"}, headers=KEY)

    async def actions() -> list[str]:
        entries = (await replica.client.get("/v1/audit")).json()["entries"]
        return [entry["action"] for entry in reversed(entries)]

    async def undone() -> bool:
        return await actions() == ["webhook.create", "webhook.not_stored"]

    assert answer.status_code == 503
    await until(undone)


async def test_held_back_webhooks_are_kept_with_a_reason_and_sent_once_they_may_be(
    replica: Replica, bus: MemoryBus, receiver: Receiver
) -> None:
    made = await subscribe(replica, receiver)
    await replica.put(WEBHOOKS, state="FALLBACK")
    await tell(bus, level_changed())

    async def waiting() -> list[dict[str, Any]] | None:
        pending: list[dict[str, Any]] = (await shown(replica, made["id"]))["pending"]
        return pending if len(pending) == 2 else None

    pending = await until(waiting)
    assert {message["kept"]["because"] for message in pending} == {"hold"}
    assert {(message["kept"]["feature"], message["kept"]["state"]) for message in pending} == {
        (WEBHOOKS, "FALLBACK")
    }
    assert not receiver.requests

    await replica.client.delete(f"/v1/holds/default/{WEBHOOKS}", headers=KEY)
    await until_told(replica, made["id"])

    assert sorted(types(receiver.requests)) == sorted([LEVEL, ENDED])


async def test_on_a_bad_level_only_the_level_is_told_and_the_rest_follows_when_it_is_better(
    replica: Replica, bus: MemoryBus, receiver: Receiver
) -> None:
    made = await subscribe(replica, receiver)
    await tell(bus, level_state(Level.LIMITED, (1, 2), at=datetime.now(UTC)))
    await replica.until_state(WEBHOOKS, "FALLBACK")
    await replica.put("inventory.adjustments", state="DISABLED")
    await tell(bus, level_changed())

    async def only_one_waits() -> dict[str, Any] | None:
        now = await shown(replica, made["id"])
        return now["pending"][0] if now["log"] and len(now["pending"]) == 1 else None

    pending = await until(only_one_waits)
    assert types(receiver.requests) == [LEVEL]
    assert (pending["type"], pending["kept"]["because"]) == (HOLD, "level")
    assert pending["kept"]["detail"]

    await tell(bus, level_state(Level.OPTIMAL, (1, 3), at=datetime.now(UTC)))
    await until(lambda: types(receiver.requests) == [LEVEL, HOLD])
