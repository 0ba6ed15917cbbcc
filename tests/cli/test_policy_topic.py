"""`resilience policy replay` over the health topic of a real Kafka."""

from __future__ import annotations

import json
import re
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from resilience_cli.stack import free_ports, run_apart
from resilience_cli.topics import apply_declared
from resilience_contracts import HealthObserved, Topic, encode
from tests.cli.policy_logs import SOURCE, call, moved, shop_with_outages
from tests.fixtures.topic_time import let_producers_tell_the_time

SCOPE = f"replayed-{uuid.uuid4().hex[:12]}"


async def publish(bootstrap: str, events: list[HealthObserved], rubbish: bytes) -> None:
    """Store each event at the time it was observed, as a topic has them that was written as it happened."""
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        for event in events:
            record = encode(event, SOURCE)
            stored_ms = int(event.observed_at.timestamp() * 1000)
            await producer.send(
                record.topic, record.value, record.key, timestamp_ms=stored_ms, headers=list(record.headers)
            )
        await producer.send(str(Topic.HEALTH), rubbish, SCOPE.encode())


@pytest.fixture(scope="module")
def told(kafka_bootstrap: str) -> list[HealthObserved]:
    """What a shop reported that ended just now: S3 away for three minutes, then PostgreSQL for three."""
    apply_declared(kafka_bootstrap)
    log = shop_with_outages(("s3", 180), ("postgresql", 180)).log
    by = datetime.now(UTC) - log[-1].observed_at
    events = [moved(event, by).model_copy(update={"scope": SCOPE}) for event in log]
    let_producers_tell_the_time(kafka_bootstrap)
    run_apart(publish(kafka_bootstrap, events, b"rubbish"))
    apply_declared(kafka_bootstrap)
    return events


@pytest.fixture(autouse=True)
def _at_kafka(kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka_bootstrap)


def document(*words: object) -> dict[str, Any]:
    called = call("replay", "--scope", SCOPE, *words, "--json")
    assert called.code == 0, called.err
    replayed: dict[str, Any] = json.loads(called.out)
    return replayed


def moves(replayed: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(change["at"], change["from"], change["to"]) for change in replayed["policies"][0]["latest"]]


def test_the_topic_is_replayed_as_it_was_stored(told: list[HealthObserved]) -> None:
    replayed = document("--since", "1h")

    made = [(source, target) for _, source, target in moves(replayed)]
    assert made == [
        ("OPTIMAL", "DEGRADED"),
        ("DEGRADED", "OPTIMAL"),
        ("OPTIMAL", "MINIMAL"),
        ("MINIMAL", "LIMITED"),
        ("LIMITED", "DEGRADED"),
        ("DEGRADED", "OPTIMAL"),
    ]
    assert replayed["events"] == len(told)
    assert replayed["skipped"]["count"] >= 1, "the rubbish"


def test_what_came_before_settles_the_level_that_counting_begins_with(told: list[HealthObserved]) -> None:
    first, _, third, *_ = (datetime.fromisoformat(at) for at, _, _ in moves(document("--since", "1h")))
    within_outage = first + timedelta(seconds=30)

    replayed = document("--since", within_outage.isoformat())

    changes = moves(replayed)
    assert changes[0][1:] == ("DEGRADED", "OPTIMAL"), "it begins within the outage, at DEGRADED"
    assert datetime.fromisoformat(changes[1][0]) == third
    assert replayed["events"] == len(told)
    assert not any("log begins" in note for note in replayed["notes"])


def test_a_saved_copy_says_the_same_without_kafka(
    told: list[HealthObserved], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy.jsonl"
    called = call("replay", "--scope", SCOPE, "--since", "20m", "--save", copy, "--json")
    live = json.loads(called.out)
    since = re.search(r"--since (\S+)", called.err)
    assert since is not None
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", f"127.0.0.1:{free_ports(1)[0]}")

    again = document("--from", copy, "--since", since[1])

    assert moves(again) == moves(live)
    assert again["begin"] == live["begin"]
    assert again["policies"][0]["levels_s"]["MINIMAL"] == live["policies"][0]["levels_s"]["MINIMAL"] > 0
    assert len(copy.read_bytes().splitlines()) == len(told)


def test_nothing_in_the_time_asked_for_is_said(told: list[HealthObserved]) -> None:
    called = call("replay", "--scope", "nobody", "--since", "1s")

    assert called.code == 3
    assert "no health event of scope nobody in the topic" in called.err


def test_kafka_away_is_one_line_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", f"127.0.0.1:{free_ports(1)[0]}")

    called = call("replay")

    assert called.code == 3
    assert "does not answer" in called.err
    assert "Remedy:" in called.err
