from __future__ import annotations

import asyncio
import json
import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flag_service.domain.audit import Action, AuditChain, Deed, of_hold
from resilience_cli.console import Exit
from resilience_cli.main import run
from resilience_cli.topics import apply_declared
from resilience_contracts import AuditRecorded, encode
from resilience_runtime import KafkaPublisher
from tests.contracts.states import hold_set


def chain(length: int, writer: str = "w") -> list[AuditRecorded]:
    one = AuditChain(writer)
    deed = Deed(Action.SET, "default", "t", "olivia", "because of a test", None, of_hold(hold_set()), "c")
    return [one.extend(deed, datetime.now(UTC)) for _ in range(length)]


def lines(entries: list[AuditRecorded]) -> list[str]:
    return [entry.model_dump_json() for entry in entries]


def verify(path: Path, text: list[str], *options: str) -> int:
    path.write_text("\n".join(text) + "\n", encoding="utf-8")
    return run(["audit", "verify", str(path), *options])


def test_a_whole_export_is_sound_and_its_ends_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = chain(3)

    assert verify(tmp_path / "log", lines(log)) == Exit.OK
    assert capsys.readouterr().out.splitlines() == [f"w ends at 2 {log[-1].hash[:12]}", "3 entries, no fault"]


@pytest.mark.parametrize(
    ("order", "fault"),
    [
        ([0, 2, 3], "w/2: entry 1 was expected here"),
        ([1, 2, 3], "w/1: what came before it is missing"),
        ([0, 2, 1, 3], "w/1: stands after entry 2"),
    ],
    ids=["dropped", "beginning dropped", "moved"],
)
def test_what_was_dropped_or_moved_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], order: list[int], fault: str
) -> None:
    text = lines(chain(4))

    assert verify(tmp_path / "log", [text[index] for index in order], "--json") == Exit.FOUND
    assert json.loads(capsys.readouterr().out)["faults"] == [fault]


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('"olivia"', '"mallory"', "w/1: its content does not give its hash"),
        ('{"scope"', '{"note":"x","scope"', "line 2: w/1 has more in it than an entry has"),
        ('{"scope"', '{"scop"', "line 2: is no audit entry"),
    ],
)
def test_what_was_changed_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, fault: str
) -> None:
    text = lines(chain(3))
    text[1] = text[1].replace(old, new)

    assert verify(tmp_path / "log", text, "--json") == Exit.FOUND
    assert fault in json.loads(capsys.readouterr().out)["faults"]


def test_what_was_dropped_from_the_end_shows_against_an_earlier_export(tmp_path: Path) -> None:
    text, earlier = lines(chain(3)), tmp_path / "earlier"
    earlier.write_text("\n".join(text), encoding="utf-8")

    assert verify(tmp_path / "log", text[:2]) == Exit.OK
    assert verify(tmp_path / "log", text[:2], "--against", str(earlier)) == Exit.FOUND
    assert verify(tmp_path / "log", text, "--against", str(earlier)) == Exit.OK


def test_the_topic_is_exported_as_it_is(
    kafka_bootstrap: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply_declared(kafka_bootstrap)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka_bootstrap)
    log, file = chain(3, f"w-{uuid.uuid4().hex}"), tmp_path / "audit.jsonl"

    async def write() -> None:
        async with KafkaPublisher(kafka_bootstrap) as publisher:
            for entry in log:
                await publisher.publish(*encode(entry, "/services/test/1"))

    asyncio.run(write())

    assert run(["audit", "export", str(file)]) == Exit.OK
    written = file.read_text(encoding="utf-8").splitlines()
    assert [line for line in written if log[0].writer in line] == lines(log)
