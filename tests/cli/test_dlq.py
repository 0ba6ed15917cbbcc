"""`resilience dlq`: the choice of letters alone, and the whole way through a real Kafka."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from resilience_cli.letters import Wish, letters, plan, send_again
from resilience_cli.records import read_records
from resilience_cli.topics import apply_declared
from resilience_contracts import Topic
from resilience_runtime import DeadLetters, KafkaPublisher
from resilience_runtime.bus import BadMessage, Message
from tests.cli.command import Command

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
BODY = b'{"half": \xff \x1b[2J'


def refused(offset: int = 7, *, attempt: int = 0, reason: str = "BadMessage", headers: int = 1) -> Message:
    own = {
        "dlq_original_topic": Topic.HEALTH,
        "dlq_original_partition": "2",
        "dlq_original_offset": str(offset),
        "dlq_original_timestamp": "1",
        "dlq_error_class": reason,
        "dlq_error_message": "no JSON",
        "dlq_stage": "decode",
        "dlq_attempt": str(attempt + 1),
    }
    original = (("ce_id", b"1"),) * headers
    sent = (*original, *((name, value.encode()) for name, value in own.items()))
    return Message(f"{Topic.HEALTH}.dlq", b"default", BODY, sent, 0, offset, int(NOW.timestamp() * 1000))


class Taken:
    """A publisher that remembers."""

    def __init__(self) -> None:
        self.records: list[Message] = []

    async def publish(
        self, topic: str, key: bytes | None, value: bytes | None, headers: object = (), **_: object
    ) -> None:
        assert isinstance(headers, tuple)
        self.records.append(Message(topic, key, value, headers, 0, 1000 + len(self.records), 1))


def chosen(*messages: Message, max_attempts: int = 5, **wish: object) -> tuple[list[str], list[str]]:
    found = plan(letters(messages), Wish(**wish), max_attempts)  # type: ignore[arg-type]
    return [one.id.rpartition("/")[2] for one in found.send], [why for _, why in found.skip]


async def test_a_letter_goes_back_as_it_was_and_is_marked() -> None:
    bus = Taken()
    (letter,) = letters([refused(headers=2)])

    await send_again(letter, bus)

    again, mark = bus.records
    assert (again.topic, again.key, again.value) == (Topic.HEALTH, b"default", BODY)
    assert again.headers[:2] == (("ce_id", b"1"),) * 2
    assert again.headers[2:] == (("dlq_attempt", b"1"), ("dlq_letter", letter.id.encode()))
    assert letters([refused(), mark])[0].replayed
    assert chosen(refused(), mark) == ([], ["was sent again before"])


def test_letters_of_several_replicas_about_one_record_are_sent_once() -> None:
    second = replace(refused(7), offset=8)

    assert chosen(refused(7), second) == (["7"], ["is another letter about the same record"])


def test_what_cannot_go_back_is_left_with_the_reason() -> None:
    cut = replace(refused(1), headers=(*refused(1).headers, ("dlq_value_bytes", b"999")))
    foreign = replace(refused(2), headers=())
    elsewhere = replace(refused(3), topic=f"{Topic.HOLDS}.dlq")
    tired = refused(4, attempt=4)

    sent, left = chosen(cut, foreign, elsewhere, tired)

    assert sent == []
    assert left == [
        "is cut: the record was too large",
        *["does not say where it came from"] * 2,
        "failed 5 times",
    ]
    assert chosen(tired, max_attempts=6) == (["4"], [])


def test_letters_are_chosen_by_reason_time_and_id() -> None:
    first, second = refused(1), refused(2, reason="CodecError")

    assert chosen(first, second, reason="CodecError")[0] == ["2"]
    assert chosen(first, since=NOW + timedelta(seconds=1))[0] == []
    assert chosen(first, until=NOW)[0] == []
    assert chosen(first, second, ids=frozenset({f"{Topic.HEALTH}.dlq/0/1"}))[0] == ["1"]


async def put_bad_record(bootstrap: str, key: bytes, reason: type[BadMessage]) -> None:
    headers = (("ce_id", b"1"), ("ce_id", b"2"), ("empty", None))
    bad = Message(Topic.CHANGES, key, BODY, headers, 3, 41, time.time_ns() // 1_000_000)
    async with KafkaPublisher(bootstrap) as publisher:
        for topic in (Topic.CHANGES, f"{Topic.CHANGES}.dlq"):  # new ones take a while to have a leader
            await publisher.publish(str(topic), key, b"first", deadline_s=60)
        assert await DeadLetters(publisher).send(bad, reason("\x1b[31mno JSON"), "decode")
        assert await DeadLetters(publisher).send(bad, reason("the same, by another replica"), "decode")


def test_letters_are_listed_shown_and_sent_again_once_on_a_real_kafka(
    kafka_bootstrap: str, tmp_path: Path
) -> None:
    apply_declared(kafka_bootstrap)
    command = Command(tmp_path, {"KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap})
    key, since = uuid.uuid4().hex.encode(), datetime.now(UTC) - timedelta(minutes=1)
    reason = type(f"Bad{uuid.uuid4().hex}", (BadMessage,), {})
    asyncio.run(put_bad_record(kafka_bootstrap, key, reason))
    mine = ("--topic", Topic.CHANGES, "--since", "1h", "--reason", reason.__name__)

    listed = json.loads(command.call("dlq", "list", *mine, "--json", "--each").out)
    one = listed["letters"][0]["id"]
    shown = command.call("dlq", "show", one)
    exact = json.loads(command.call("dlq", "show", one, "--json").out)
    dry = command.call("dlq", "replay", *mine, "--dry-run")
    nothing_yet = back(kafka_bootstrap, key, since)
    first = command.call("dlq", "replay", *mine)
    second = command.call("dlq", "replay", *mine)

    assert listed["groups"][0] | {"first": "", "last": ""} == {
        "topic": f"{Topic.CHANGES}.dlq",
        "reason": reason.__name__,
        "stage": "decode",
        "letters": 2,
        "replayed": 0,
        "first": "",
        "last": "",
    }
    assert "\x1b" not in shown.out + dry.out
    assert r"\x1b[31mno JSON" in shown.out
    assert exact["value"] == {"base64": "eyJoYWxmIjog/yAbWzJK"}
    assert (dry.code, "1 would be sent, 1 left alone" in dry.out, nothing_yet) == (0, True, [])
    assert (first.code, "1 sent, 1 left alone" in first.out) == (0, True), first.err
    assert (second.code, "0 sent, 2 left alone" in second.out) == (0, True), second.err
    (record,) = back(kafka_bootstrap, key, since)
    assert record.value == BODY
    assert record.headers[:3] == (("ce_id", b"1"), ("ce_id", b"2"), ("empty", None))


def back(bootstrap: str, key: bytes, since: datetime) -> list[Message]:
    return [
        message
        for message in read_records(bootstrap, [Topic.CHANGES], since)
        if (message.key, message.value) == (key, BODY)
    ]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("replay",), 2, "say which"),
        (("replay", "--topic", "no.such"), 2, "is no topic"),
        (("list", "--since", "soon"), 2, "no length of time"),
    ],
)
def test_wrong_usage_is_named(tmp_path: Path, words: tuple[str, ...], code: int, said: str) -> None:
    called = Command(tmp_path).call("dlq", *words)

    assert (called.code, said in called.err) == (code, True)
