"""A stack whose Kafka has three brokers: what each is told, and what cannot be wished."""

from __future__ import annotations

from pathlib import Path

import pytest

from resilience_cli.main import run
from resilience_cli.stack import Place, private_ports
from resilience_cli.stack.layout import backing_parts, broker_ports, kafka


def told(properties: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in properties.splitlines())


def test_three_brokers_vote_together_and_store_every_record_twice_before_it_counts(tmp_path: Path) -> None:
    ports = {**private_ports(), **broker_ports()}
    brokers = [
        kafka(Place(tmp_path), ports, secured=False, name=name) for name in ("kafka", "kafka-2", "kafka-3")
    ]

    settings = [told(broker._properties()) for broker in brokers]

    assert [each["node.id"] for each in settings] == ["1", "2", "3"]
    assert len({each["controller.quorum.voters"] for each in settings}) == 1
    assert len({each["log.dirs"] for each in settings}) == 3
    assert {each["min.insync.replicas"] for each in settings} == {"2"}
    assert {each["offsets.topic.replication.factor"] for each in settings} == {"3"}
    assert all(
        sorted(broker.bootstrap.split(",")) == sorted(brokers[0].bootstrap.split(",")) for broker in brokers
    )
    assert {"kafka", "kafka-2", "kafka-3"} <= set(backing_parts(Place(tmp_path), ports, secured=False))


def test_one_broker_is_alone_and_its_data_another(tmp_path: Path) -> None:
    place, alone = Place(tmp_path), private_ports()

    settings = told(kafka(place, alone, secured=False)._properties())

    assert settings["min.insync.replicas"] == "1"
    assert settings["controller.quorum.voters"] == f"1@127.0.0.1:{alone['kafka-controller']}"
    assert (
        settings["log.dirs"]
        != told(kafka(place, {**alone, **broker_ports()}, secured=False)._properties())["log.dirs"]
    )
    assert "kafka-2" not in backing_parts(place, alone, secured=False)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--brokers", "2"], "it is 1 or 3"),
        (["--brokers", "3", "--proxies"], "it is either this or --proxies or"),
        (["--brokers", "3", "--secured"], "it is either this or --proxies or"),
    ],
)
def test_what_no_stack_can_be_is_refused(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["up", *words]) == 2

    assert says in " ".join(capsys.readouterr().err.split())
