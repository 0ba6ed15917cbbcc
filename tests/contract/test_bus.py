"""What every bus promises, shown on the one in memory and on a real Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from resilience_runtime import BadMessage, DeadLetters, Message, PublishRejectedError
from tests.contract.buses import Bus, InMemory, OnKafka
from tests.runtime.waiting import running, until

KEYS = (b"a", b"b", b"c", b"d", b"e")


@pytest.fixture(params=["memory", "kafka"])
async def bus(request: pytest.FixtureRequest) -> AsyncIterator[Bus]:
    async with AsyncExitStack() as stack:
        if request.param == "memory":
            yield InMemory()
        else:
            yield await OnKafka.connect(request.getfixturevalue("kafka_bootstrap"), stack)


async def test_a_record_arrives_unchanged(bus: Bus) -> None:
    topic = await bus.new_topic()
    seen: list[Message] = []
    headers = (("ce_type", b"x.v1"), ("repeated", b"1"), ("repeated", b"2"), ("empty", b""))

    async with running(bus.reader((topic,), seen.append).run()):
        await bus.publisher.publish(topic, b"key", b"\x00\xff value", headers)
        await until(lambda: bool(seen))

    (message,) = seen
    assert (message.topic, message.key, message.value) == (topic, b"key", b"\x00\xff value")
    assert headers == message.headers
    assert message.offset == 0


async def test_a_tombstone_and_a_record_without_key_arrive_as_such(bus: Bus) -> None:
    topic = await bus.new_topic()
    seen: list[Message] = []

    async with running(bus.reader((topic,), seen.append).run()):
        await bus.publisher.publish(topic, b"key", None)
        await bus.publisher.publish(topic, None, b"")
        await until(lambda: len(seen) == 2)

    assert {(message.key, message.value) for message in seen} == {(b"key", None), (None, b"")}


async def test_a_reader_begins_at_the_start_and_knows_when_it_has_caught_up(bus: Bus) -> None:
    topic = await bus.new_topic()
    for number in range(20):
        await bus.publisher.publish(topic, KEYS[number % 5], str(number).encode())
    seen: list[Message] = []
    reader = bus.reader((topic,), seen.append)
    before = reader.caught_up

    async with running(reader.run()):
        await asyncio.wait_for(reader.wait_caught_up(), 10)

        assert len(seen) == 20

    assert not before
    assert reader.caught_up


async def test_a_reader_of_empty_topics_has_caught_up(bus: Bus) -> None:
    topics = (await bus.new_topic(), await bus.new_topic())
    reader = bus.reader(topics, lambda _: None)

    async with running(reader.run()):
        await asyncio.wait_for(reader.wait_caught_up(), 10)

    assert reader.last_record_age_s() is None


async def test_records_of_a_key_arrive_in_the_order_they_were_published(bus: Bus) -> None:
    topic = await bus.new_topic()
    seen: dict[bytes, list[int]] = {key: [] for key in KEYS}

    def apply(message: Message) -> None:
        assert message.key is not None
        assert message.value is not None
        seen[message.key].append(int(message.value))

    async def publish(key: bytes) -> None:
        for number in range(20):
            await bus.publisher.publish(topic, key, str(number).encode())

    async with running(bus.reader((topic,), apply).run()):
        await asyncio.gather(*(publish(key) for key in KEYS))
        await until(lambda: sum(map(len, seen.values())) == 100)

    assert seen == {key: list(range(20)) for key in KEYS}


async def test_every_reader_sees_every_record(bus: Bus) -> None:
    topic, other = await bus.new_topic(), await bus.new_topic()
    first: list[Message] = []
    second: list[Message] = []

    async with (
        running(bus.reader((topic, other), first.append).run()),
        running(bus.reader((topic,), second.append).run()),
    ):
        for key in KEYS:
            await bus.publisher.publish(topic, key, b"1")
            await bus.publisher.publish(other, key, b"2")
        await until(lambda: len(first) == 10 and len(second) == 5)


@pytest.mark.parametrize("refusal", [BadMessage("not mine"), ZeroDivisionError("a bug")])
async def test_a_message_that_cannot_be_applied_is_handed_on_and_reading_goes_on(
    bus: Bus, refusal: Exception
) -> None:
    topic = await bus.new_topic()
    applied: list[bytes | None] = []
    refused: list[tuple[bytes | None, Exception]] = []

    def apply(message: Message) -> None:
        if message.value == b"bad":
            raise refusal
        applied.append(message.value)

    async def on_bad(message: Message, error: Exception) -> None:
        refused.append((message.value, error))

    async with running(bus.reader((topic,), apply, on_bad=on_bad).run()):
        for value in (b"1", b"bad", b"2"):
            await bus.publisher.publish(topic, b"key", value)
        await until(lambda: len(applied) == 2)

    assert applied == [b"1", b"2"]
    assert refused == [(b"bad", refusal)]


async def test_a_refused_message_lies_in_the_dead_letters_unchanged_with_its_reason(bus: Bus) -> None:
    topic = await bus.new_topic()
    letters = await bus.new_topic(f"{topic}.dlq")
    dead: list[Message] = []

    def refuse(_: Message) -> None:
        raise BadMessage("not JSON")

    refusing = bus.reader((topic,), refuse, on_bad=DeadLetters(bus.publisher).for_stage("decode"))
    async with running(refusing.run()), running(bus.reader((letters,), dead.append).run()):
        await bus.publisher.publish(topic, b"key", b"\xff\x00", (("ce_id", b"7"),))
        await until(lambda: bool(dead))

    headers = dict(dead[0].headers)
    assert (dead[0].key, dead[0].value, headers["ce_id"]) == (b"key", b"\xff\x00", b"7")
    assert headers["dlq_original_topic"] == topic.encode()
    assert headers["dlq_error_class"] == b"BadMessage"
    assert headers["dlq_error_message"] == b"not JSON"
    assert headers["dlq_stage"] == b"decode"
    assert headers["dlq_attempt"] == b"1"


async def test_a_record_that_is_too_large_is_rejected_and_the_next_one_goes_through(bus: Bus) -> None:
    topic = await bus.new_topic()

    with pytest.raises(PublishRejectedError):
        await bus.publisher.publish(topic, b"key", b"x" * 5 * 1024 * 1024)

    await bus.publisher.publish(topic, b"key", b"small")


async def test_age_is_that_of_the_newest_record(bus: Bus) -> None:
    topic = await bus.new_topic()
    reader = bus.reader((topic,), lambda _: None)

    async with running(reader.run()):
        await bus.publisher.publish(topic, b"key", b"1")
        await until(lambda: reader.last_record_age_s() is not None)

    age_s = reader.last_record_age_s()
    assert age_s is not None
    assert 0 <= age_s < 5


async def test_reading_ends_by_cancellation(bus: Bus) -> None:
    topic = await bus.new_topic()
    reader = bus.reader((topic,), lambda _: None)
    task = asyncio.create_task(reader.run())
    await asyncio.wait_for(reader.wait_caught_up(), 10)

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 5)
