"""`resilience policy check`."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from resilience_contracts import default_policy, default_policy_text
from tests.cli.policy_logs import call

LINES = default_policy_text().splitlines()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(default_policy_text(), encoding="utf-8")
    return path


def line_with(text: str) -> int:
    return next(number for number, line in enumerate(LINES, start=1) if text in line)


def spoil(file: Path, old: str, new: str) -> None:
    text = default_policy_text()
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_a_policy_that_is_right_is_summed_up(file: Path) -> None:
    called = call("check", file)

    assert called.code == 0
    assert "is valid: 4 dependencies (openai 50, postgresql 30, redis 15, s3 5), 16 features" in called.out
    assert default_policy().sha256 in called.out


@pytest.mark.parametrize(
    ("old", "new", "marked", "said"),
    [
        (
            "weight: 50",
            "weight: many",
            "weight: 50",
            "dependencies.openai.weight: Input should be a valid int",
        ),
        ("weight: 50", "wieght: 50", "weight: 50", "dependencies.openai.wieght: Extra inputs"),
        ("deadline_s: 5\n", "\n", "  openai:", "dependencies.openai.deadline_s: Field required"),
        ("at_least: MINIMAL", "at_least: LOW", "at_least: MINIMAL", "levels.floors.1.at_least: one of OPT"),
        (
            "levels: [E, E, E, F, X]",
            "levels: [E, E, E, Q, X]",
            "levels: [E, E, E, F, X]",
            "features.inventory.reservations.levels.3: one of E, F, X",
        ),
        (
            "hard: [openai]",
            "hard: [open]",
            "integrations.ai_assistant:",
            "features.integrations.ai_assistant: 'open' is not one of",
        ),
        (
            "OPTIMAL: 90",
            "OPTIMAL: 95",
            "OPTIMAL: 90",
            "levels.boundaries.OPTIMAL: the reachable sum 95 lies in",
        ),
    ],
)
def test_each_fault_names_line_key_and_rule(file: Path, old: str, new: str, marked: str, said: str) -> None:
    spoil(file, old, new)

    called = call("check", file)

    place = f"{file}:{line_with(marked)}: {said}"
    assert called.code == 1
    assert any(line.startswith(place) for line in called.out.splitlines()), called.out


def test_every_fault_is_told_at_once(file: Path) -> None:
    file.write_text(
        default_policy_text()
        .replace("weight: 50", "weight: -1")
        .replace("heartbeat_s: 30", "heartbeat_s: no"),
        encoding="utf-8",
    )

    faults = json.loads(call("check", file, "--json").out)["faults"]

    assert [fault["key"] for fault in faults] == ["dependencies.openai.weight", "timing.heartbeat_s"]


def test_a_fault_of_the_whole_is_told_without_a_line(file: Path) -> None:
    spoil(file, "weight: 50", "weight: 55")

    called = call("check", file)

    assert (
        f"{file}:{line_with('dependencies:')}: dependencies.*.weight: weights must add up to 100"
        in called.out
    )


@pytest.mark.parametrize("text", ["a: [", "[]", "a: 1\na: 2", ""])
def test_what_is_no_policy_at_all_is_one_line(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")

    called = call("check", file)

    assert called.code == 1
    assert len(called.out.splitlines()) == 1
    assert called.out.startswith(f"{file}: ")


def test_programs_get_the_same_as_json(file: Path) -> None:
    right = json.loads(call("check", file, "--json").out)
    spoil(file, "weight: 50", "weight: 51")
    called = call("check", file, "--json")

    assert right == {"valid": True, "sha256": default_policy().sha256, "faults": []}
    assert called.code == 1
    assert json.loads(called.out)["faults"][0]["rule"] == "weights must add up to 100, not 101"


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_a_file_that_cannot_be_read_has_a_remedy(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "policy.yaml"
    if content is not None:
        path.write_bytes(content)

    called = call("check", path)

    assert called.code == 3
    assert f"{path} cannot be read" in called.err
    assert "Remedy:" in called.err


def test_a_policy_may_come_from_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(default_policy_text()))

    called = call("check", "-")

    assert called.code == 0
    assert called.out.startswith("the policy is valid")
