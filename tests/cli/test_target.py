from __future__ import annotations

from pathlib import Path

import pytest

from resilience_cli.stack import StackState, private_ports
from resilience_cli.stack.state import write_state
from resilience_cli.target import find_target, stack_root
from resilience_runtime import KafkaAccess


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("KAFKA_BOOTSTRAP_SERVERS", "KAFKA_SECURITY_PROTOCOL", "RESILIENCE_SCOPE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RESILIENCE_STACK_DIR", str(tmp_path))
    return tmp_path


def test_without_a_stack_the_default_ports_are_meant(root: Path) -> None:
    target = find_target()

    assert (target.kafka.bootstrap, target.scope, target.state) == ("127.0.0.1:9092", "default", None)
    assert target.url("inventory-api") == "http://127.0.0.1:9000"


def test_the_stack_that_runs_here_is_found_without_variables(root: Path) -> None:
    ports = private_ports()
    write_state(root, StackState.new(dict(ports), {}))

    target = find_target()

    assert target.kafka.bootstrap == f"127.0.0.1:{ports['kafka']}"
    assert target.url("flag-service") == f"http://127.0.0.1:{ports['flag-service']}"


def test_a_stack_whose_owner_died_is_not_meant(root: Path) -> None:
    dead = StackState.new(dict(private_ports()), {}).model_copy(update={"owner_create_time": 0.0})
    write_state(root, dead)

    assert find_target().state is None


def test_the_environment_wins(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_state(root, StackState.new(dict(private_ports()), {"KAFKA_SECURITY_PROTOCOL": "SSL"}))
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "broker:1")
    monkeypatch.setenv("RESILIENCE_SCOPE", "eu-west")

    target = find_target()

    assert (target.kafka, target.scope) == (KafkaAccess("broker:1"), "eu-west")


def test_the_stack_says_how_to_get_into_its_kafka(root: Path) -> None:
    told = {
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "KAFKA_SASL_USERNAME": "admin",
        "KAFKA_SASL_PASSWORD": "secret",
    }
    write_state(root, StackState.new(dict(private_ports()), told))

    kafka = find_target().kafka

    assert (kafka.protocol, kafka.username, kafka.secret) == ("SASL_PLAINTEXT", "admin", "secret")


def test_a_wrong_variable_about_kafka_is_named_in_one_line(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "TLS")

    with pytest.raises(SystemExit, match="2"):
        find_target()

    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("KAFKA_SECURITY_PROTOCOL: ")


def test_the_stack_directory_is_here_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RESILIENCE_STACK_DIR", raising=False)
    monkeypatch.chdir(tmp_path)

    assert stack_root() == tmp_path.resolve() / ".stack"
