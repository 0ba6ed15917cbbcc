"""The commands that look at a system, against a real Kafka in a stack of its own."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from resilience_cli.stack import run_apart
from resilience_contracts import Event, Level, Topic, encode
from resilience_runtime.kafka.publisher import KafkaPublisher
from tests.cli.command import RESILIENCE, Command
from tests.contracts.states import hold_set, level_changed, level_state
from tests.fixtures.processes import ended

PARTS = ("kafka", "redis")


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    command = Command(Path(tmp_path_factory.mktemp("commands")) / "stack")
    with command.running(*PARTS):
        yield command


async def publish(command: Command, *events: Event) -> None:
    publisher = KafkaPublisher(f"127.0.0.1:{command.ports['kafka']}")
    for event in events:
        await publisher.publish(*encode(event, "/test"))
    await publisher.close()


async def publish_raw(command: Command, topic: Topic, records: dict[bytes, bytes | None]) -> None:
    publisher = KafkaPublisher(f"127.0.0.1:{command.ports['kafka']}")
    for key, value in records.items():
        await publisher.publish(str(topic), key, value, ())
    await publisher.close()


def test_status_says_what_is_published_and_how_well_that_is(command: Command) -> None:
    nothing = command.call("status")
    run_apart(publish(command, level_state(Level.LIMITED, at=datetime.now(UTC))))
    known = command.call("status", "--json")
    elsewhere = command.call("status", "--scope", "elsewhere")

    assert (nothing.code, "No level of scope default" in nothing.out) == (1, True)
    document = json.loads(known.out)
    assert (known.code, document["level"]["level"], document["level"]["stale"]) == (0, "LIMITED", False)
    assert set(document["parts"]) == set(PARTS)
    assert (elsewhere.code, "elsewhere" in elsewhere.out) == (1, True)


def test_a_stale_level_is_not_well(command: Command) -> None:
    run_apart(publish(command, level_state(scope="old")))

    code, text, _ = command.call("status", "--scope", "old")

    assert (code, "STALE" in text) == (1, True)


def test_tail_prints_the_last_records_and_what_is_unreadable(command: Command) -> None:
    run_apart(publish_raw(command, Topic.HOLDS, {b"k": b"\x00", b"gone": None}))
    run_apart(publish(command, hold_set(), level_changed()))

    holds = command.call("tail", "holds", "--no-follow")
    one = command.call("tail", "holds", "--no-follow", "--last", "1", "--json")
    changes = command.call("tail", "changes", "--no-follow")

    assert "k unreadable" in holds.out
    assert "gone ended" in holds.out
    assert "OPTIMAL -> MINIMAL" in changes.out
    assert [json.loads(line)["data"]["hold_id"] for line in one.out.splitlines()] == ["h1"]


def test_topics_are_applied_by_up_and_checked(command: Command) -> None:
    assert command.call("topics", "check").code == 0
    assert json.loads(command.call("topics", "apply", "--json").out) == {"applied": []}


def test_smoke_fails_when_nothing_answers(command: Command) -> None:
    code, text, _ = command.call("smoke", "--json")

    document = json.loads(text)
    assert (code, document["passed"]) == (1, False)
    assert [check["passed"] for check in document["checks"]] == [False] * 6


def test_doctor_finds_the_running_stack(command: Command) -> None:
    code, text, _ = command.call("doctor", "--json")

    findings = {finding["subject"]: finding for finding in json.loads(text)}
    assert code == 0, text
    assert findings["stack"]["detail"].startswith("runs (pid ")
    assert "java" in findings


def test_a_killed_kafka_comes_back_with_its_records(command: Command) -> None:
    run_apart(publish(command, level_state(Level.DEGRADED, (9, 9), at=datetime.now(UTC))))
    assert command.call("chaos", "stop", "kafka").code == 0

    down = command.call("tail", "levels", "--no-follow")
    restored = command.call("chaos", "restore", "kafka")
    again = command.call("status", "--json")

    assert (down.code, "resilience up" in down.err) == (3, True)
    assert restored.code == 0, restored.err
    assert (again.code, json.loads(again.out)["level"]["level"]) == (0, "DEGRADED")


def test_watch_streams_a_document_at_each_change(command: Command) -> None:
    state = level_state(Level.LIMITED, (2, 1), at=datetime.now(UTC), scope="watched")
    change = level_changed().model_copy(update={"scope": "watched", "version": state.version})
    run_apart(publish(command, state))
    # A shell's background jobs inherit that it is ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    words = [str(RESILIENCE), "watch", "--json", "--scope", "watched"]

    with ended(subprocess.Popen(words, env=command.env, stdout=subprocess.PIPE, text=True)) as watching:
        assert watching.stdout is not None
        documents = map(json.loads, watching.stdout)
        first = next(documents)
        run_apart(publish(command, change))
        second = next(each for each in documents if each["changes"])  # a part may change before it
        watching.send_signal(signal.SIGINT)
        code = watching.wait(20)

    assert (first["level"]["level"], first["changes"]) == ("LIMITED", [])
    assert set(first) == {"at", "scope", "follows", "level", "features", "holds", "parts", "changes"}
    assert [one["to_level"] for one in second["changes"]] == [change.to_level]
    assert code == 0


def test_a_frozen_part_is_known_to_be_frozen(command: Command) -> None:
    paused = command.call("chaos", "pause", "redis", "--json")
    document = json.loads(command.call("status", "--json").out)
    restored = command.call("chaos", "restore", "redis")

    assert (paused.code, "SIGSTOP" in json.loads(paused.out)["done"]) == (0, True)
    assert document["parts"]["redis"]["status"] == "paused"
    assert (restored.code, "SIGCONT" in restored.out) == (0, True)


def test_a_part_that_is_not_there_is_named(command: Command) -> None:
    unknown = command.call("chaos", "stop", "mysql")
    absent = command.call("chaos", "stop", "s3")

    assert (unknown.code, absent.code) == (2, 3)
    assert "take one of" in absent.err
    assert command.state().parts["redis"].ref.find()


@pytest.mark.parametrize(
    "words",
    [(), ("up",), ("down",), ("status",), ("watch",), ("tail",), ("smoke",), ("doctor",), ("chaos",)]
    + [("chaos", verb) for verb in ("stop", "pause", "restore")]
    + [("topics", verb) for verb in ("apply", "check")],
)
def test_help_tells_the_exit_codes(words: tuple[str, ...]) -> None:
    called = Command(Path("unused")).call(*words, "--help")

    assert called.code == 0
    assert "Exit codes" in called.out
