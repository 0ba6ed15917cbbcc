"""`resilience chaos run` where there is nothing to run, or nothing to run it on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from resilience_cli.main import run


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESILIENCE_STACK_DIR", str(tmp_path))


def test_the_list_needs_no_stack(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["chaos", "run", "--list", "--json"]) == 0

    listed = {one["name"]: one for one in json.loads(capsys.readouterr().out)["experiments"]}
    assert listed["redis-kill"] == {
        "name": "redis-kill", "faults": ["redis kill"], "levels": ["DEGRADED"], "needs_proxies": False,
    }  # fmt: skip
    assert run(["chaos", "run", "--list", "redis-kill"]) == 0
    assert "1 experiments: 1 single" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["redis-kil"], "there is no experiment redis-kil"),
        (["redis-kill"], "no stack runs"),
        (["--table", "no-such-file.yaml"], "cannot be read"),
        (["--table", "."], "cannot be read"),
    ],
)
def test_an_error_is_one_line_with_its_remedy(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["chaos", "run", *words]) == 3

    told = capsys.readouterr().err
    assert says in told
    assert "Remedy:" in told
    assert told.count("\n") == 1
