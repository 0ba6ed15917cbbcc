from __future__ import annotations

import json
from pathlib import Path

import pytest

from resilience_cli.console import Exit
from resilience_cli.main import run
from resilience_runtime import KeyRing


def test_a_created_key_is_known_to_a_service_and_is_not_in_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "keys.json"

    codes = [
        run(["keys", "create", name, "--scope", "write", "--file", str(file)]) for name in ("ops", "till")
    ]

    first, second = capsys.readouterr().out.split()
    ring = KeyRing.load(file)
    callers = [ring.caller(secret) for secret in (first, second)]
    assert codes == [Exit.OK, Exit.OK]
    assert [(caller.name, caller.scopes) for caller in callers if caller] == [
        ("ops", frozenset({"write"})),
        ("till", frozenset({"write"})),
    ]
    assert first not in file.read_text(encoding="utf-8")
    assert file.stat().st_mode & 0o777 == 0o644, "readable by the services, whatever user they run as"


def test_an_unknown_scope_and_a_broken_file_are_one_line_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "keys.json"
    broken.write_text("{", encoding="utf-8")

    codes = [
        run(["keys", "create", "ops", "--scope", "everything", "--file", str(tmp_path / "new.json")]),
        run(["keys", "create", "ops", "--scope", "write", "--file", str(broken)]),
        run(["keys", "create", "ops", "--scope", "write", "--file", str(tmp_path / "nowhere" / "new.json")]),
        run(["keys", "create", "", "--scope", "write", "--file", str(tmp_path / "new.json")]),
    ]

    said = capsys.readouterr()
    assert codes == [Exit.FAILED] * 4
    assert len(said.err.strip().splitlines()) == 4, said.err
    assert said.out == ""
    assert broken.read_text(encoding="utf-8") == "{"


def test_a_created_key_as_a_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "keys.json"

    run(["keys", "create", "ops", "--scope", "write", "--file", str(file), "--json"])

    document = json.loads(capsys.readouterr().out)
    assert KeyRing.load(file).caller(document.pop("key"))
    assert document == {"name": "ops", "scopes": ["write"], "file": str(file)}
