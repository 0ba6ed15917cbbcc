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


@pytest.fixture
def secured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Name a Kafka that asks for passwords and is away."""
    for name, value in {
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "KAFKA_SASL_USERNAME": "admin",
        "KAFKA_SASL_PASSWORD": "marked-7f3a",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def password(tmp_path: Path) -> Path:
    file = tmp_path / "flags.password"
    file.write_text("before", encoding="utf-8")
    return file


@pytest.mark.usefixtures("secured")
def test_a_password_of_kafka_that_cannot_be_changed_is_one_line_and_changes_nothing(
    tmp_path: Path, password: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(user: str = "flag-service", file: Path = password) -> str:
        code = run(["keys", "kafka", user, "--file", str(file)])
        said = capsys.readouterr()
        assert (code, said.out, len(said.err.splitlines())) == (Exit.FAILED, "", 1), said.err
        return said.err

    assert "'flag-servcie' is no principal of ours" in told("flag-servcie")
    assert "none.password cannot be replaced (No such file or directory)" in told(
        file=tmp_path / "none.password"
    )
    assert "is no file" in told(file=tmp_path)
    assert "127.0.0.1:1: " in told()
    monkeypatch.setenv("KAFKA_SASL_MECHANISM", "PLAIN")
    assert "not entered by SCRAM" in told()
    for name in ("SECURITY_PROTOCOL", "SASL_MECHANISM", "SASL_USERNAME", "SASL_PASSWORD"):
        monkeypatch.delenv(f"KAFKA_{name}")
    assert "not entered by SCRAM" in told()

    assert password.read_text(encoding="utf-8") == "before"
    assert list(tmp_path.iterdir()) == [password]


@pytest.mark.usefixtures("secured")
def test_two_changes_of_one_password_at_once_are_refused(
    password: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = password.with_name(f".{password.name}.new")
    other.write_text("of the other", encoding="utf-8")

    code = run(["keys", "kafka", "flag-service", "--file", str(password)])

    assert code == Exit.FAILED
    assert f"{other} is there: another change is under way" in capsys.readouterr().err
    assert (password.read_text(encoding="utf-8"), other.read_text(encoding="utf-8")) == (
        "before",
        "of the other",
    )
