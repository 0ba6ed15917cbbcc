from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from resilience_runtime import BadMessage, DeadLetters, Headers, ManualClock, MemoryBus, Message
from resilience_runtime.kafka.dead_letters import BURST, EXCERPT_BYTES, REFILL_PER_S

TOPIC = "some.topic"


def message(offset: int = 0, value: bytes | None = b"value", headers: Headers = ()) -> Message:
    return Message(TOPIC, b"key", value, headers, 2, offset, 1_700_000_000_000)


async def letter(original: Message) -> Message:
    bus = MemoryBus()
    assert await DeadLetters(bus).send(original, BadMessage("no"), "decode")
    (stored,) = bus.records(f"{TOPIC}.dlq")
    return stored


async def test_a_letter_names_where_it_comes_from() -> None:
    headers = dict((await letter(message(offset=41))).headers)

    assert headers == {
        "dlq_original_topic": TOPIC.encode(),
        "dlq_original_partition": b"2",
        "dlq_original_offset": b"41",
        "dlq_original_timestamp": b"1700000000000",
        "dlq_error_class": b"BadMessage",
        "dlq_error_message": b"no",
        "dlq_stage": b"decode",
        "dlq_attempt": b"1",
    }


async def test_a_letter_that_failed_again_counts_its_attempts() -> None:
    again = message(headers=(("dlq_attempt", b"3"), ("dlq_stage", b"old"), ("ce_id", b"7")))

    headers = (await letter(again)).headers

    assert [value for name, value in headers if name == "dlq_attempt"] == [b"4"]
    assert [value for name, value in headers if name == "dlq_stage"] == [b"decode"]
    assert ("ce_id", b"7") in headers


@given(
    value=st.none() | st.binary(max_size=50),
    headers=st.lists(st.tuples(st.text(max_size=5), st.none() | st.binary(max_size=5)), max_size=5).map(
        tuple
    ),
    attempt=st.binary(max_size=8),
)
async def test_any_bytes_arrive_unchanged(value: bytes | None, headers: Headers, attempt: bytes) -> None:
    original = message(value=value, headers=(*headers, ("dlq_attempt", attempt)))

    stored = await letter(original)

    assert (stored.key, stored.value) == (original.key, original.value)
    assert stored.headers[: len(headers)] == headers


async def test_a_value_that_does_not_fit_is_cut_and_its_size_is_told() -> None:
    stored = await letter(message(value=b"x" * 5 * 1024 * 1024, headers=(("big", b"y" * 5000),)))

    assert stored.value == b"x" * EXCERPT_BYTES
    assert ("dlq_value_bytes", str(5 * 1024 * 1024).encode()) in stored.headers


async def test_the_same_message_is_sent_once() -> None:
    bus = MemoryBus()
    letters = DeadLetters(bus)

    for _ in range(3):
        assert await letters.send(message(), BadMessage(), "decode")

    assert len(bus.records(f"{TOPIC}.dlq")) == 1
    assert letters.sent == 1


async def test_a_flood_is_capped_and_counted_and_ends() -> None:
    clock = ManualClock()
    letters = DeadLetters(MemoryBus(clock=clock), clock)

    flood = [await letters.send(message(offset), BadMessage(), "decode") for offset in range(BURST + 5)]
    await clock.advance(1)
    after = [await letters.send(message(2 * BURST + n), BadMessage(), "decode") for n in range(20)]

    assert flood.count(True) == BURST
    assert letters.capped == 5 + after.count(False)
    assert after.count(True) == REFILL_PER_S


async def test_a_bus_that_is_away_loses_the_letter_and_raises_nothing() -> None:
    clock = ManualClock(jump=True)
    bus = MemoryBus(clock=clock)
    letters = DeadLetters(bus, clock)
    bus.up = False

    sent = await letters.send(message(), BadMessage(), "decode")
    bus.up = True

    assert not sent
    assert letters.lost == 1
    assert await letters.send(message(), BadMessage(), "decode")
