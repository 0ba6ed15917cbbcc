"""A few experiments of the table by the command, as a sample of `make test-chaos`."""

from __future__ import annotations

import json

import pytest

from resilience_cli.main import run
from tests.fixtures.stack import RunningStack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
SAMPLE = ("redis-memory", "postgresql-kill")
"""A server's own setting, and a process; the table below has an answer."""


@pytest.fixture(autouse=True)
def here(quick_stack: RunningStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESILIENCE_STACK_DIR", str(quick_stack.root))


def test_experiments_go_as_declared_and_leave_a_report(
    quick_stack: RunningStack, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(["chaos", "run", *SAMPLE, "--json"])

    document = json.loads(capsys.readouterr().out)
    assert {one["name"]: one["broken"] for one in document["experiments"]} == {name: [] for name in SAMPLE}, (
        document
    )
    assert (code, document["failed"]) == (0, 0)
    reports = quick_stack.root / "reports"
    html, markdown = (reports / f"chaos.{kind}" for kind in ("html", "md"))
    assert html.read_text(encoding="utf-8").count("<svg") == len(SAMPLE)
    assert "2 of 2 experiments as declared" in markdown.read_text(encoding="utf-8")
    assert all((reports / f"chaos/{name}.svg").is_file() for name in SAMPLE)


def test_a_level_that_does_not_follow_is_told_and_ends_with_1(
    quick_stack: RunningStack, capsys: pytest.CaptureFixture[str]
) -> None:
    """The sample can fail: with an expectation that is wrong it does, and what was broken is mended."""
    table = quick_stack.root / "wrong.yaml"
    table.write_text(
        "experiments: [{name: wrong, faults: [{part: openai, kind: status, status: 503}], level: EMERGENCY, within_s: 0.1}]",
        encoding="utf-8",
    )

    code = run(["chaos", "run", "--table", str(table), "--json"])

    document = json.loads(capsys.readouterr().out)
    assert code == 1
    assert any("not EMERGENCY within" in text for text in document["experiments"][0]["broken"])
    assert document["experiments"][0]["moments"][-1]["kind"] in {"mended", "settled"}


def test_a_network_that_cannot_fail_is_told_before_anything_is_broken(
    quick_stack: RunningStack, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["chaos", "run", "redis-kill", "redis-blackhole"]) == 3

    told = capsys.readouterr().err
    assert "`resilience up --proxies`" in told
    assert told.count("\n") == 1
