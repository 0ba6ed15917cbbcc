"""The process as its clients see it, on real Kafka, PostgreSQL, Valkey, S3 and the OpenAI stand-in."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

from resilience_contracts import Because, FeatureState, HealthObserved, Level, Topic, decode, encode
from resilience_runtime import KafkaPublisher, Message, ReplicaReader
from resilience_runtime.ending import end
from tests.bench.inventory_replicas import Replica
from tests.contracts.states import level_state
from tests.delivery.receiver import Receiver, receiving
from tests.fixtures.stack import RunningStack, running_stack
from tests.flag_service.running import Stream
from tests.flag_service.running import until as until_async

pytestmark = pytest.mark.timeout(240)

PARTS = ("kafka", "postgresql", "redis", "s3", "openai", "inventory-api")
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"
    "0000000d49444154789c6360000002000001e221bc330000000049454e44ae426082"
)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """Dependencies and the service, without monitor and engine: levels are ours to give."""
    with running_stack(Path(tmp_path_factory.mktemp("inventory")), parts=PARTS) as stack:
        yield stack


@pytest.fixture
def api(stack: RunningStack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.url("inventory-api"), timeout=10, trust_env=False) as client:
        yield client
    for part in ("postgresql", "redis", "s3", "openai"):
        stack.restore(part)
    until(lambda: breakers_closed(stack))


def breakers_closed(stack: RunningStack) -> bool:
    answer = httpx.get(f"{stack.url('inventory-api')}/v1/system/degradation", timeout=5, trust_env=False)
    return {breaker["state"] for breaker in answer.json()["breakers"].values()} == {"CLOSED"}


def until(look: Callable[[], object], timeout_s: float = 60) -> None:
    end = time.monotonic() + timeout_s
    while not look():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.05)


def post(api: httpx.Client, path: str, body: object, key: str | None = None) -> httpx.Response:
    return api.post(path, json=body, headers={"Idempotency-Key": key} if key else {})


def adjust(api: httpx.Client, sku: str, delta: int, key: str | None = None) -> httpx.Response:
    reason = "RECEIPT" if delta > 0 else "SALE"
    return post(
        api, "/v1/adjustments", {"sku": sku, "location": "shop", "delta": delta, "reason": reason}, key
    )


def hold(api: httpx.Client, *lines: tuple[str, int]) -> httpx.Response:
    wanted = [{"sku": sku, "location": "shop", "quantity": quantity} for sku, quantity in lines]
    return post(api, "/v1/reservations", {"owner_ref": "cart", "lines": wanted})


@pytest.fixture
def sku(api: httpx.Client) -> str:
    """A SKU with ten at the shop."""
    name = f"SKU-{uuid.uuid4().hex[:12]}"
    until(lambda: post(api, "/v1/locations", {"code": "shop", "name": "Shop"}).status_code in {201, 409})
    # A busy machine may refuse it.
    until(lambda: post(api, "/v1/skus", {"sku": name, "name": "Tee", "reorder_point": 5}).status_code == 201)
    assert adjust(api, name, 10).status_code == 201
    return name


def test_a_day_at_the_shop(api: httpx.Client, sku: str) -> None:
    held = hold(api, (sku, 3), (sku, 1))
    assert held.status_code == 201
    assert held.json()["lines"][0]["quantity"] == 4
    refused = hold(api, (sku, 7))
    assert refused.status_code == 409
    assert refused.json()["code"] == "insufficient_stock"
    line = {"sku": sku, "location": "shop", "requested": 7, "available": 6}
    assert refused.json()["lines"] == [line]

    where = held.headers["Location"]
    assert post(api, f"{where}/confirm", {}).json()["state"] == "CONFIRMED"
    assert post(api, f"{where}/release", {}).json()["code"] == "reservation_closed"

    stock = api.get(f"/v1/stock/{sku}").json()
    assert (stock["available"], stock["stale"], stock["status"]) == (6, False, "IN")
    assert stock["locations"][0]["on_hand"] == 6
    assert api.get(where).json()["state"] == "CONFIRMED"
    ledger = api.get("/v1/ledger", params={"sku": sku, "limit": 1}).json()
    following = api.get("/v1/ledger", params={"sku": sku, "cursor": ledger["next_cursor"]}).json()
    assert [entry["delta"] for entry in (*ledger["items"], *following["items"])] == [10, -4]
    assert api.get(f"/v1/skus/{sku}").json()["name"] == "Tee"
    assert sku in {item["sku"] for item in api.get("/v1/skus", params={"limit": 200}).json()["items"]}


@pytest.mark.parametrize("quantity", [-5, 0, 1.5, 2**31, "5", True, None, 10**30])
def test_quantities_that_are_none_b24(api: httpx.Client, sku: str, quantity: object) -> None:
    lines = [{"sku": sku, "location": "shop", "quantity": quantity}]

    answer = post(api, "/v1/reservations", {"owner_ref": "cart", "lines": lines})

    assert answer.status_code == 422
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert api.get(f"/v1/stock/{sku}").json()["available"] == 10


@pytest.mark.parametrize("literal", ["NaN", "1e309", "-5", "5.0"])
def test_numbers_that_json_should_not_have(api: httpx.Client, sku: str, literal: str) -> None:
    content = f'{{"sku":"{sku}","location":"shop","delta":{literal},"reason":"RECEIPT"}}'

    answer = api.post("/v1/adjustments", content=content, headers={"content-type": "application/json"})

    assert answer.status_code == 422


def test_idempotency_b14(api: httpx.Client, sku: str) -> None:
    key = uuid.uuid4().hex
    with ThreadPoolExecutor(2) as threads:
        pair = list(threads.map(lambda _: adjust(api, sku, 5, key), range(2)))
    again = adjust(api, sku, 5, key)
    other = adjust(api, sku, 6, key)

    done = [answer for answer in (*pair, again) if answer.status_code == 201]
    assert len({answer.text for answer in done}) == 1
    assert {answer.status_code for answer in pair} <= {201, 409}
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert api.get(f"/v1/stock/{sku}").json()["locations"][0]["on_hand"] == 15


def test_skus_round_trip_b18(api: httpx.Client) -> None:
    mark = uuid.uuid4().hex[:8]
    for name in (f"0017{mark}", f"12345{mark}.", f"new test {mark}", f"{mark}é"):
        added = post(api, "/v1/skus", {"sku": name, "name": "Thing"})
        assert added.json()["sku"] == name
        assert api.get(added.headers["Location"]).json()["sku"] == name
    assert post(api, "/v1/skus", {"sku": f"NEW TEST {mark}", "name": "Thing"}).status_code == 409
    for wrong in ("a\x00b", " a", "a/b", "x" * 10_240, "\u202eevil", ""):
        assert post(api, "/v1/skus", {"sku": wrong, "name": "Thing"}).status_code == 422


def test_images_go_through_s3(api: httpx.Client, sku: str, stack: RunningStack) -> None:
    path = f"/v1/skus/{sku}/image"
    set_level(stack, api, Level.OPTIMAL)
    assert api.get(path).status_code == 404
    kept = api.put(path, content=PNG)
    assert kept.status_code == 204, kept.text
    shown = api.get(path)
    assert (shown.content, shown.headers["content-type"]) == (PNG, "image/png")
    assert api.get(path, headers={"If-None-Match": shown.headers["etag"]}).status_code == 304
    assert api.put(path, content=b"GIF89a").status_code == 415
    assert api.put(path, content=PNG + bytes(2**20)).status_code == 413

    stack.stop("s3")

    stand_in = api.get(path)
    assert (stand_in.status_code, stand_in.headers["content-type"]) == (200, "image/svg+xml")
    refused = api.put(path, content=PNG)
    assert (refused.status_code, refused.json()["feature"]) == (503, "integrations.media")


def test_the_assistant_answers_with_and_without_its_model(
    api: httpx.Client, sku: str, stack: RunningStack
) -> None:
    set_level(stack, api, Level.OPTIMAL)
    question = {"question": "What is running low?", "skus": [sku]}
    assert post(api, "/v1/assistant", question).json()["source"] == "model"

    stack.stop("openai")

    answer = post(api, "/v1/assistant", question).json()
    assert answer["source"] == "rules"
    assert "10 available" in answer["answer"]
    assert answer["figures"][0]["available"] == 10


VERSIONS = iter(range(1, 10_000))


def set_level(stack: RunningStack, api: httpx.Client, level: Level, **features: FeatureState) -> str:
    """Publish a level as the engine would, and wait until the service has heard it."""
    counter = next(VERSIONS)
    now = datetime.now(UTC)
    named = {key.replace("__", "."): state for key, state in features.items()}
    state = level_state(level, (1, counter), now, named).model_copy(
        update={"next_heartbeat_by": now + timedelta(minutes=10)}
    )
    asyncio.run(publish(stack, *encode(state, "/tests")))
    header = f'{level.name}; version="1.{counter}"'
    until(lambda: api.get("/health/live").headers["Resilience-Level"] == header)
    return header


async def publish(stack: RunningStack, topic: str, *record: object) -> None:
    async with KafkaPublisher(stack.bootstrap) as publisher:
        await publisher.publish(topic, *record, deadline_s=20)  # type: ignore[arg-type]


def test_levels_switch_answers(api: httpx.Client, sku: str, stack: RunningStack) -> None:
    held = hold(api, (sku, 1)).headers["Location"]
    api.get(f"/v1/stock/{sku}")

    header = set_level(stack, api, Level.MINIMAL)

    read = post(api, "/v1/availability:batch", {"skus": [sku]})
    assert (read.status_code, read.json()["stale"]) == (200, True)
    item = read.json()["items"][0]
    assert (item["status"], item["available"], item["locations"][0]["available"]) == ("IN", None, None)
    assert int(read.headers["Age"]) >= 0
    assert "stale-if-error" in read.headers["Cache-Control"]
    assert read.headers["Resilience-Level"] == header
    refused = hold(api, (sku, 1))
    problem = refused.json()
    assert (refused.status_code, problem["code"]) == (503, "feature_disabled")
    assert (problem["feature"], problem["state"]) == ("inventory.reservations", "FALLBACK")
    assert problem["because"] == Because.LEVEL
    assert 10 <= int(refused.headers["Retry-After"]) == problem["retry_after"] <= 60
    assert problem["since"]
    assert post(api, f"{held}/confirm", {}).status_code == 200
    accepted = adjust(api, sku, 5)
    assert accepted.status_code == 202
    until(lambda: api.get(accepted.headers["Location"]).json()["status"] == "applied")
    assert api.get("/v1/system/degradation").json()["level"] == "MINIMAL"

    set_level(stack, api, Level.OPTIMAL)

    until(lambda: api.get(f"/v1/stock/{sku}").json()["available"] == 14)
    assert hold(api, (sku, 1)).status_code == 201


def answered(stack: RunningStack, status: int, within_s: float) -> int:
    """Return how many reads of one SKU's stock had this status within a time, by the service's own clock."""
    text = httpx.get(stack.metrics_url("inventory-api"), timeout=5, trust_env=False).text
    series = (
        f'inventory_http_request_duration_seconds_bucket{{le="{within_s}",method="GET",'
        f'route="/v1/stock/{{sku}}",status="{status}"}} '
    )
    found = [float(line.removeprefix(series)) for line in text.splitlines() if line.startswith(series)]
    return round(sum(found))


def test_a_frozen_postgresql_is_not_waited_for(api: httpx.Client, sku: str, stack: RunningStack) -> None:
    until(lambda: api.get(f"/v1/stock/{sku}").is_success)  # on a busy machine the first may come too late
    other = f"SKU-{uuid.uuid4().hex}"
    stack.pause("postgresql")

    until(lambda: api.get(f"/v1/stock/{sku}").json()["stale"])
    # Other work on the machine comes in bursts: one round of five must be as it is without.
    for _ in range(5):
        reads = answered(stack, 200, 0.05)
        for _ in range(200):
            read = api.get(f"/v1/stock/{sku}")
            assert (read.status_code, read.json()["stale"], read.json()["available"]) == (200, True, None)
        reads = answered(stack, 200, 0.05) - reads
        if reads >= 199:
            break
    for _ in range(5):
        refusals = answered(stack, 503, 0.3)
        for _ in range(20):
            refused = api.get(f"/v1/stock/{other}")
        refusals = answered(stack, 503, 0.3) - refusals
        if refusals == 20:
            break
    began = time.monotonic()
    held = hold(api, (sku, 1))
    held_s = time.monotonic() - began

    assert int(read.headers["Age"]) >= 0
    # By the service's own clock, which does not count how long a busy machine lets the client wait.
    assert reads >= 199, "p99 of cached reads is 50 ms or more"
    assert refusals == 20, "a read without a cached value took 300 ms or more"
    assert (refused.status_code, refused.json()["because"]) == (503, "dependency")
    assert (held.status_code, held.json()["feature"]) == (503, "inventory.reservations")
    assert held_s < 1
    ready = api.get("/health/ready")
    assert ready.status_code == 200

    stack.restore("postgresql")

    until(lambda: hold(api, (sku, 1)).status_code == 201)


def test_a_restart_without_postgresql_serves_what_the_shared_cache_knows(
    api: httpx.Client, sku: str, stack: RunningStack
) -> None:
    header = set_level(stack, api, Level.OPTIMAL)
    assert api.get(f"/v1/stock/{sku}").json()["available"] == 10
    stack.stop("postgresql")
    stack.stop("inventory-api")

    stack.restore("inventory-api")  # returns when it is ready

    read = api.get(f"/v1/stock/{sku}")
    assert (read.status_code, read.json()["stale"], read.json()["status"]) == (200, True, "IN")
    assert read.headers["Resilience-Level"] == header
    assert api.get("/health/startup").status_code == 200
    stack.restore("postgresql")
    until(lambda: hold(api, (sku, 1)).status_code == 201)


def read_at_postgresql(stack: RunningStack) -> float:
    """Return how many SKUs' stock was read there, by the service's own count."""
    text = httpx.get(stack.metrics_url("inventory-api"), timeout=5, trust_env=False).text
    (line,) = (
        line
        for line in text.splitlines()
        if line.startswith('inventory_stock_reads_total{layer="authority"}')
    )
    return float(line.rpartition(" ")[2])


@pytest.mark.parametrize("fault", ["pause", "stop"])
def test_without_redis_no_request_fails_and_postgresql_is_read_as_often_as_before(
    api: httpx.Client, sku: str, stack: RunningStack, fault: str
) -> None:
    set_level(stack, api, Level.OPTIMAL)
    getattr(stack, fault)("redis")
    for _ in range(20):
        assert adjust(api, sku, 1).status_code == 201
        assert api.get(f"/v1/stock/{sku}").status_code == 200
    began_s, before = time.monotonic(), read_at_postgresql(stack)

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: api.get(f"/v1/stock/{sku}"), range(400)))

    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["available"] for answer in answers} == {30}
    # One SKU in one process: once in each second (STOCK_SOFT_AGE_S), however many ask.
    assert read_at_postgresql(stack) - before <= time.monotonic() - began_s + 1


def test_accepted_adjustments_survive_a_kill_and_are_applied_once(
    api: httpx.Client, sku: str, stack: RunningStack
) -> None:
    stack.stop("postgresql")
    keys = [uuid.uuid4().hex for _ in range(20)]
    accepted = [adjust(api, sku, 1, key) for key in keys]
    too_much = adjust(api, sku, -1000)
    assert {answer.status_code for answer in (*accepted, too_much)} == {202}
    repeated = adjust(api, sku, 1, keys[0])
    assert repeated.headers["Location"] == accepted[0].headers["Location"]
    assert adjust(api, sku, 2, keys[0]).status_code == 422
    waiting = api.get(accepted[0].headers["Location"]).json()
    assert waiting["status"] == "accepted"

    stack.stop("inventory-api")  # SIGKILL
    stack.restore("inventory-api")
    until(lambda: api.get(accepted[-1].headers["Location"]).status_code == 200)
    stack.restore("postgresql")
    for _ in range(3):  # in the middle of applying
        time.sleep(0.3)  # a moment in the life of the applier; any will do
        stack.stop("inventory-api")
        stack.restore("inventory-api")

    def statuses() -> set[str]:
        return {api.get(answer.headers["Location"]).json().get("status", "") for answer in accepted}

    until(lambda: statuses() == {"applied"})
    assert api.get(f"/v1/stock/{sku}").json()["locations"][0]["on_hand"] == 30
    until(lambda: api.get(too_much.headers["Location"]).json()["status"] != "accepted")
    exception = api.get(too_much.headers["Location"]).json()
    assert (exception["status"], exception["code"]) == ("exception", "insufficient_stock")
    done = adjust(api, sku, 1, keys[3])
    assert done.status_code == 201
    assert api.get(f"/v1/stock/{sku}").json()["locations"][0]["on_hand"] == 30


def test_breakers_are_reported_to_the_engine(api: httpx.Client, sku: str, stack: RunningStack) -> None:
    seen: list[HealthObserved] = []

    def apply(message: Message) -> None:
        event = decode(message.value, message.headers).event
        if isinstance(event, HealthObserved):
            seen.append(event)

    async def watch() -> None:
        reader = ReplicaReader(stack.bootstrap, (Topic.HEALTH,), apply)
        reading = asyncio.create_task(reader.run())
        stack.stop("redis")
        try:
            async with asyncio.timeout(60):
                while not any(event.breaker and event.breaker.state == "OPEN" for event in seen):
                    await asyncio.to_thread(api.get, f"/v1/stock/{sku}")
                    await asyncio.sleep(0.05)
        finally:
            reading.cancel()
            await asyncio.wait({reading})

    asyncio.run(watch())

    assert {event.dependency for event in seen} == {"openai", "postgresql", "redis", "s3"}
    assert {event.observer for event in seen} == {"inventory-api-1"}


def test_secrets_stay_inside(api: httpx.Client, sku: str, stack: RunningStack) -> None:
    password = stack.env["DATABASE_URL"].split(":")[2].partition("@")[0]
    stack.stop("postgresql")

    answers = [hold(api, (sku, 1)), api.get("/v1/skus"), api.get("/v1/system/degradation")]

    assert answers[1].json()["code"] == "dependency_unavailable"
    assert not any(password in answer.text or "Traceback" in answer.text for answer in answers)


def streams(url: str) -> bool:
    """Say whether a replica lets clients follow; one that has just started may have to read first."""
    with httpx.stream("GET", f"{url}/v1/stream", timeout=5, trust_env=False) as answer:
        return answer.status_code == httpx.codes.OK


@dataclass
class Ear:
    """A client of the event stream that can be cut off; it goes on by the id of the last event that it has."""

    seen: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    last_id: str | None = None

    def edges(self, sku: str) -> list[tuple[str, int]]:
        return [(kind, data["version"]) for kind, data in self.of(sku) if kind != "availability"]

    def of(self, sku: str) -> list[tuple[str, dict[str, Any]]]:
        return [(kind, data) for kind, data in self.seen if data.get("sku") == sku]

    @asynccontextmanager
    async def listening(self, url: str) -> AsyncIterator[None]:
        headers = {"Last-Event-ID": self.last_id} if self.last_id else {}
        await asyncio.to_thread(until, lambda: streams(url))
        async with (
            httpx.AsyncClient(base_url=url, timeout=30, trust_env=False, headers=headers) as client,
            client.stream("GET", "/v1/stream") as answer,
        ):
            stream = Stream(answer.aiter_lines())
            assert await stream.next() == ("open", {"resumed": bool(headers), "missed": False})
            self.last_id = stream.last_id
            hearing = asyncio.create_task(self._hear(stream))
            try:
                yield
            finally:
                await end(hearing)

    async def _hear(self, stream: Stream) -> None:
        while True:
            self.seen.append(await stream.next("low", "back", "availability"))
            self.last_id = stream.last_id


def test_stock_is_told_once_by_stream_and_webhook_in_spite_of_a_kill_and_without_postgresql(
    stack: RunningStack, api: httpx.Client, sku: str
) -> None:
    key = stack.root / "signing.key"
    key.write_text("k" * 40)
    env = {"SIGNING_KEY_FILE": str(key), "WEBHOOK_ALLOWED_NETWORKS": '["127.0.0.0/8"]'}
    stack.restart("inventory-api", **env)
    set_level(stack, api, Level.OPTIMAL)
    second, ear = Replica(stack, 2, env), Ear()
    second.start()
    try:
        asyncio.run(told(stack, api, sku, second, ear))
    finally:
        second.kill()


async def told(stack: RunningStack, api: httpx.Client, sku: str, second: Replica, ear: Ear) -> None:
    def swing() -> None:
        assert adjust(api, sku, -10).status_code == 201
        assert adjust(api, sku, 10).status_code == 201

    async with receiving() as receiver:
        asked, admin = {"url": receiver.url, "skus": [sku]}, {"X-API-Key": stack.operator_key()}
        made = (await asyncio.to_thread(api.post, "/v1/webhooks", json=asked, headers=admin)).json()
        async with ear.listening(second.url):
            await asyncio.to_thread(swing)
            await until_async(lambda: len(ear.edges(sku)) == 2)
            await asyncio.to_thread(swing)
            await until_async(lambda: len(ear.edges(sku)) >= 3)
            second.kill()
        await asyncio.to_thread(swing)
        async with ear.listening(stack.url("inventory-api")):
            await asyncio.to_thread(swing)
            await until_async(lambda: len(ear.edges(sku)) == 8)
            await until_async(lambda: newest(receiver) == ear.edges(sku)[-1][1])
        await asyncio.to_thread(stack.stop, "postgresql")
        without = await asyncio.to_thread(api.post, "/v1/webhooks", json=asked, headers=admin)
        ended = await asyncio.to_thread(api.delete, f"/v1/webhooks/{without.json()['id']}", headers=admin)

    edges = ear.edges(sku)
    assert [kind for kind, _ in edges] == ["low", "back"] * 4
    assert [version for _, version in edges] == sorted({version for _, version in edges})
    sequences = [data["sequence"] for kind, data in ear.of(sku) if kind == "availability"]
    assert sequences == sorted(set(sequences))
    assert ear.of(sku)[-1][1]["available"] == 10
    content: dict[str, bytes] = {}
    for request in receiver.requests:
        Webhook(made["secret"]).verify(request.body, request.headers)
        assert content.setdefault(request.headers["webhook-id"], request.body) == request.body
    assert len(content) == len(receiver.requests)
    assert (without.status_code, ended.status_code) == (201, 204)


def newest(receiver: Receiver) -> int:
    """Return the version of the newest edge that was received."""
    told = [request.event["data"].get("version", 0) for request in receiver.requests]
    return max(told, default=0)


def test_a_process_stays_small(stack: RunningStack, api: httpx.Client, sku: str) -> None:
    set_level(stack, api, Level.OPTIMAL)
    api.put(f"/v1/skus/{sku}/image", content=PNG)
    post(api, "/v1/assistant", {"question": "What is running low?"})

    assert stack.rss_mb()["inventory-api"] < 150
