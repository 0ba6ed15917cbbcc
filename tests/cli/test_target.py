from __future__ import annotations

from pathlib import Path

import pytest

from resilience_cli.stack import StackState, private_ports
from resilience_cli.stack.state import write_state
from resilience_cli.target import find_target, stack_root


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RESILIENCE_STACK_DIR", str(tmp_path))
    return tmp_path


def test_without_a_stack_the_default_ports_are_meant(root: Path) -> None:
    target = find_target({})

    assert (target.bootstrap, target.scope, target.state) == ("127.0.0.1:9092", "default", None)
    assert target.url("inventory-api") == "http://127.0.0.1:9000"


def test_the_stack_that_runs_here_is_found_without_variables(root: Path) -> None:
    ports = private_ports()
    write_state(root, StackState.new(dict(ports), {}))

    target = find_target({})

    assert target.bootstrap == f"127.0.0.1:{ports['kafka']}"
    assert target.url("flag-service") == f"http://127.0.0.1:{ports['flag-service']}"


def test_a_stack_whose_owner_died_is_not_meant(root: Path) -> None:
    dead = StackState.new(dict(private_ports()), {}).model_copy(update={"owner_create_time": 0.0})
    write_state(root, dead)

    assert find_target({}).state is None


def test_the_environment_wins(root: Path) -> None:
    write_state(root, StackState.new(dict(private_ports()), {}))

    target = find_target({"KAFKA_BOOTSTRAP_SERVERS": "broker:1", "RESILIENCE_SCOPE": "eu-west"})

    assert (target.bootstrap, target.scope) == ("broker:1", "eu-west")


def test_the_stack_directory_is_here_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RESILIENCE_STACK_DIR", raising=False)
    monkeypatch.chdir(tmp_path)

    assert stack_root() == tmp_path.resolve() / ".stack"
