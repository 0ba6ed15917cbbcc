from __future__ import annotations

from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from resilience_cli.errors import StackError
from resilience_cli.stack import run_apart
from resilience_cli.topics import apply_declared, declared_topics, drift_of_declared, with_mirrors
from resilience_contracts import Regions, Topic, dead_letter_topic
from tests.cli.command import until

NAMES = {str(topic) for topic in Topic}
STATE_TOPICS = (Topic.LEVELS, Topic.HOLDS, Topic.WEBHOOKS, Topic.ENGINE_STATE, Topic.STOCK_WEBHOOKS)


def test_mirrored_topics_of_other_regions_are_like_the_own_ones() -> None:
    declared = declared_topics()

    wanted = with_mirrors(declared, Regions(("eu-north",)))

    assert wanted.keys() - declared.keys() == {
        f"eu-north.{topic}" for topic in (Topic.LEVELS, Topic.LEVEL_CHANGES, Topic.HOLDS)
    }
    assert wanted[f"eu-north.{Topic.LEVELS}"] == declared[Topic.LEVELS]
    assert with_mirrors(declared, Regions()) == declared


def test_every_topic_is_declared_and_no_other() -> None:
    assert set(declared_topics()) == NAMES | {dead_letter_topic(name) for name in NAMES}


@pytest.mark.parametrize("topic", STATE_TOPICS)
def test_state_is_compacted_in_small_segments(topic: Topic) -> None:
    config = declared_topics()[topic].config
    largest_record = int(config.get("max.message.bytes", 0))

    assert config["cleanup.policy"] == "compact"
    assert largest_record <= int(config["segment.bytes"]) <= max(1024 * 1024, largest_record + 1024 * 1024)


def test_engine_state_has_the_partitions_of_health() -> None:
    topics = declared_topics()

    assert topics[Topic.ENGINE_STATE].partitions == topics[Topic.HEALTH].partitions


def test_the_time_of_a_health_event_is_when_the_broker_stored_it() -> None:
    assert declared_topics()[Topic.HEALTH].config["message.timestamp.type"] == "LogAppendTime"


def test_a_dead_letter_has_room_for_what_was_too_large() -> None:
    topics = declared_topics()

    for topic in Topic:
        limit = int(topics[topic].config.get("max.message.bytes", 1024 * 1024))
        assert int(topics[dead_letter_topic(topic)].config["max.message.bytes"]) > limit


def test_a_wrong_file_is_an_error_with_its_name(tmp_path: Path) -> None:
    wrong = tmp_path / "topics.yaml"
    wrong.write_text("topics: {a: {partitions: 0}}", encoding="utf-8")

    with pytest.raises(StackError, match=r"topics\.yaml declares no topics"):
        declared_topics(path=wrong)


def test_applying_creates_reports_and_mends(kafka_bootstrap: str) -> None:
    first = apply_declared(kafka_bootstrap)
    run_apart(_spoil(kafka_bootstrap, Topic.LEVELS))

    # A broker shows a changed setting a moment after it has confirmed it.
    until("the drift is seen", lambda: drift_of_declared(kafka_bootstrap))
    mended = apply_declared(kafka_bootstrap)
    until("the drift is gone", lambda: not drift_of_declared(kafka_bootstrap))

    assert {each.aspect for each in first} <= {"topic"}
    assert f"{Topic.LEVELS}: cleanup.policy is delete, declared compact" in map(str, mended)
    assert {each.topic for each in mended} == {str(Topic.LEVELS)}


async def _spoil(bootstrap: str, topic: Topic) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        wrong = {"cleanup.policy": "delete"}
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, str(topic), wrong)])
    finally:
        await admin.close()
