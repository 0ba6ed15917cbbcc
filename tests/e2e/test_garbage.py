"""Any bytes on the health and holds topics: nothing stops, each lands among the dead letters."""

from __future__ import annotations

import asyncio
import os
import uuid

import httpx
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import ConsumerRecord

from resilience_contracts import Level, Topic, dead_letter_topic, encode
from tests.contracts.states import health_observed, hold_set
from tests.e2e.shop import Shop, until
from tests.e2e.test_outages import both_at
from tests.fixtures.stack import RunningStack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

GOOD = {Topic.HEALTH: encode(health_observed(), "/t"), Topic.HOLDS: encode(hold_set(), "/t")}


def garbage(topic: Topic) -> list[tuple[bytes, list[tuple[str, bytes]]]]:
    """Return values and headers that must be refused; no two values are the same, so that each finds its letter."""
    good = GOOD[topic]
    headers, value = list(good.headers), good.value or b""
    future = [(n, v if n != "ce_type" else v.replace(b".v1", b".v9")) for n, v in headers]
    wrong = value.replace(b'"scope":"', b'"scope":7,"was":"')
    return [
        (os.urandom(64), []),
        (os.urandom(64), headers),
        (b"", headers),
        (b"{}", headers),
        (b"[]", headers),
        (b"null", headers),
        (b'"' + b"x" * 2_000_000 + b'"', headers),
        (wrong, headers),
        (value, future),
        (value + b" ", [(n, v if n != "ce_specversion" else b"2.0") for n, v in headers]),
        (value + b"  ", [("content-type", b"application/cloudevents+json")]),
    ]


@pytest.mark.parametrize("topic", [Topic.HEALTH, Topic.HOLDS])
async def test_garbage_lands_among_the_dead_letters(quick_stack: RunningStack, topic: Topic) -> None:
    mark = uuid.uuid4().bytes
    sent = garbage(topic)
    dead = AIOKafkaConsumer(
        dead_letter_topic(topic), bootstrap_servers=quick_stack.bootstrap, auto_offset_reset="earliest"
    )
    async with (
        AIOKafkaProducer(bootstrap_servers=quick_stack.bootstrap, max_request_size=3_000_000) as producer,
        dead,
    ):
        for value, headers in sent:
            await producer.send_and_wait(topic, value, mark, headers=headers)

        wanted = {value for value, _ in sent}
        assert len(wanted) == len(sent)
        letters: list[ConsumerRecord] = []
        async with asyncio.timeout(30):  # several services read the holds, each sends its own letter
            while wanted - {letter.value for letter in letters}:
                record = await dead.getone()
                if record.key == mark:
                    letters.append(record)

    for letter in letters:
        names = dict(letter.headers)
        assert names["dlq_original_topic"].decode() == topic
        assert names["dlq_error_message"]
        assert names["dlq_error_class"]


def test_after_garbage_the_system_still_follows_the_truth(quick_stack: RunningStack) -> None:
    shop = Shop(quick_stack.url("inventory-api"), quick_stack.url("flag-service"), quick_stack.operator_key())
    try:
        both_at(shop, Level.OPTIMAL)
        quick_stack.stop("s3")
        both_at(shop, Level.DEGRADED)
        quick_stack.restore("s3")
        both_at(shop, Level.OPTIMAL)
        shop.hold("integrations.ai_assistant", "DISABLED")
        until("the hold at inventory-api", lambda: shop.ask().status_code == httpx.codes.SERVICE_UNAVAILABLE)
        shop.end_hold("integrations.ai_assistant")
        until("its end at inventory-api", lambda: shop.ask().status_code == httpx.codes.OK)
    finally:
        quick_stack.restore("s3")
        shop.close()
