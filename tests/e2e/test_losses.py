"""What all of them keep in Kafka, Redis and S3 is lost while all run: the procedures of docs/runbooks/recovery.md."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import redis
from aiokafka import AIOKafkaConsumer

from resilience_cli.main import run
from resilience_cli.stack import run_apart
from resilience_contracts import Level, Topic
from tests.e2e.losing import follows
from tests.e2e.quick import quick_policy_text
from tests.e2e.shop import PNG, SKU, Shop, until
from tests.e2e.test_kills import Onlooker
from tests.e2e.test_outages import both_at
from tests.fixtures.stack import RunningStack, running_stack
from tests.fixtures.topics import delete_topic

pytestmark = [pytest.mark.recovery, pytest.mark.timeout(300)]

FEATURE = "integrations.ai_assistant"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """A stack of this module's own: what is lost here, others would miss."""
    with running_stack(Path(tmp_path_factory.mktemp("losses")), policy_text=quick_policy_text()) as stack:
        yield stack


@pytest.fixture(scope="module")
def shop(stack: RunningStack) -> Iterator[Shop]:
    shop = Shop(stack.url("inventory-api"), stack.url("flag-service"), stack.operator_key())
    shop.seed()
    yield shop
    shop.close()


@pytest.fixture(autouse=True)
def here(stack: RunningStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands find the stack."""
    monkeypatch.setenv("RESILIENCE_STACK_DIR", str(stack.root))


def test_the_topic_of_levels_is_filled_again_by_the_engine(stack: RunningStack, shop: Shop) -> None:
    before = both_at(shop, Level.OPTIMAL)
    with Onlooker(stack) as onlooker:
        run_apart(delete_topic(stack.bootstrap, Topic.LEVELS))
        assert run(["topics", "apply"]) == 0
        until("a level in the topic", lambda: run_apart(keys(stack.bootstrap, Topic.LEVELS)))
        follows(stack, shop, before)

    assert onlooker.failures == []
    assert all(seen == sorted(seen) for seen in onlooker.versions.values())


def test_all_of_kafka_is_lost(stack: RunningStack, shop: Shop) -> None:
    before = both_at(shop, Level.OPTIMAL)
    shop.hold(FEATURE, "DISABLED")
    until("the hold at inventory-api", lambda: shop.ask().status_code == httpx.codes.SERVICE_UNAVAILABLE)
    with Onlooker(stack) as onlooker:
        stack.lose_data("kafka")
        assert run(["topics", "apply"]) == 0
        until("smoke", lambda: run(["smoke"]) == 0, 60)
        follows(stack, shop, before)
    assert onlooker.failures == []
    assert all(seen == sorted(seen) for seen in onlooker.versions.values())

    # Integrators have the state of every SKU again.
    assert SKU.encode() not in run_apart(keys(stack.bootstrap, Topic.STOCK))
    assert run(["stock", "republish"]) == 0
    assert SKU.encode() in run_apart(keys(stack.bootstrap, Topic.STOCK))

    # What was in Kafka alone is gone, and set again.
    assert shop.flags.get("/v1/holds").raise_for_status().json()["holds"] == []
    until("the assistant", lambda: shop.ask().status_code == httpx.codes.OK)
    shop.hold(FEATURE, "DISABLED")
    until("the hold at inventory-api", lambda: shop.ask().status_code == httpx.codes.SERVICE_UNAVAILABLE)
    shop.end_hold(FEATURE)

    # What is accepted without PostgreSQL is applied from the new log.
    on_hand = shop.on_hand()
    stack.stop("postgresql")
    both_at(shop, Level.MINIMAL)
    accepted = [shop.receive() for _ in range(3)]
    assert {answer.status_code for answer in accepted} == {httpx.codes.ACCEPTED}
    stack.restore("postgresql")
    both_at(shop, Level.OPTIMAL, 90)
    until("three applied", lambda: shop.on_hand() == on_hand + 3)


def test_redis_is_emptied_and_nobody_notices(stack: RunningStack, shop: Shop) -> None:
    before = both_at(shop, Level.OPTIMAL)
    with Onlooker(stack) as onlooker, redis.Redis.from_url(stack.env["REDIS_URL"]) as client:
        assert shop.availability().is_success
        client.flushall()
        assert shop.availability().json()["stale"] is False
        until("entries again", lambda: shop.availability().is_success and client.dbsize())

    assert onlooker.failures == []
    assert both_at(shop, Level.OPTIMAL) >= before


def test_s3_is_emptied_and_images_are_put_again(stack: RunningStack, shop: Shop) -> None:
    both_at(shop, Level.OPTIMAL)
    image = f"/v1/skus/{SKU}/image"
    assert shop.put_image().is_success
    stack.stop("s3")  # the stack's S3 keeps everything in memory
    stack.restore("s3")
    both_at(shop, Level.OPTIMAL)

    until("no image", lambda: shop.inventory.get(image).status_code == httpx.codes.NOT_FOUND)
    assert shop.put_image().is_success
    assert shop.inventory.get(image).content == PNG


async def keys(bootstrap: str, topic: Topic) -> set[bytes | None]:
    """Return the keys of the records of a topic."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    async with consumer:
        found: set[bytes | None] = set()
        ends = await consumer.end_offsets(list(consumer.assignment()))
        while any([await consumer.position(each) < end for each, end in ends.items()]):  # awaits
            for records in (await consumer.getmany(timeout_ms=500)).values():
                found |= {record.key for record in records}
        return found
