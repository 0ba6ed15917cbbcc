"""What holds of every command: documents for programs, exit codes, completion."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from resilience_cli.backup import Proof
from resilience_cli.console import Exit
from resilience_cli.main import app, run
from tests.cli.command import RESILIENCE, Command

GUIDE = Path(__file__).parents[2] / "docs/guide/operations.md"
WITHOUT_JSON = {
    ("up",): "stays in the foreground; programs ask `status --json` meanwhile",
    ("audit", "export"): "writes JSON documents, one a line, and nothing else",
}


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    commands = getattr(command, "commands", None)
    if commands is None:
        yield path, command
        return
    for name, below in commands.items():
        yield from leaves(below, (*path, name))


TREE = dict(leaves(typer.main.get_command(app)))


@pytest.mark.parametrize("path", TREE, ids=" ".join)
def test_every_command_has_json_or_a_reason_why_not(path: tuple[str, ...]) -> None:
    has = any("--json" in option.opts for option in TREE[path].params)

    assert has is (path not in WITHOUT_JSON), WITHOUT_JSON.get(path)


def test_the_reasons_are_of_commands_that_exist() -> None:
    assert set(WITHOUT_JSON) <= set(TREE)


@pytest.mark.parametrize("path", TREE, ids=" ".join)
def test_every_command_tells_its_exit_codes(path: tuple[str, ...]) -> None:
    called = Command(Path("unused")).call(*path, "--help")

    assert called.code == Exit.OK
    assert "Exit codes" in " ".join(called.out.split())


def test_the_guide_tells_each_exit_code() -> None:
    section = GUIDE.read_text(encoding="utf-8").partition("## Exit codes")[2].partition("\n## ")[0]

    assert [int(code) for code in re.findall(r"^\| (\d) \|", section, re.MULTILINE)] == sorted(Exit)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("down", "--json"), Exit.OK),
        (("nonsense",), Exit.USAGE),
        (("down", "--nonsense"), Exit.USAGE),
        (("chaos", "stop", "mysql", "--json"), Exit.USAGE),
        (("chaos", "stop", "redis", "--json"), Exit.FAILED),
        (("policy", "check", "no-such-file.yaml", "--json"), Exit.FAILED),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else value.name,
)
def test_a_command_ends_with_the_code_of_what_came_of_it(
    words: tuple[str, ...], code: Exit, tmp_path: Path
) -> None:
    assert Command(tmp_path / "none").call(*words).code == code


def test_a_backup_as_a_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def proved(_url: str, file: Path, _key: object) -> Proof:
        return Proof(file, "5ha", {"stock": 3})

    monkeypatch.setattr("resilience_cli.commands.backup.back_up", proved)
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@nowhere/none")

    code = run(["backup", str(tmp_path / "a.dump"), "--json"])

    document = json.loads(capsys.readouterr().out)
    assert (code, document) == (0, {"file": str(tmp_path / "a.dump"), "sha256": "5ha", "rows": {"stock": 3}})


@pytest.mark.parametrize(
    ("typed", "offered"), [(("ho",), ["hold"]), (("hold", "l"), ["list"]), (("chaos", "pa"), ["pause"])]
)
def test_bash_completes_what_was_begun(completion: Path, typed: tuple[str, ...], offered: list[str]) -> None:
    script = (
        f"source {completion}; COMP_WORDS=(resilience {' '.join(typed)}); COMP_CWORD={len(typed)}; "
        'function=$(complete -p resilience | sed "s/.*-F \\([^ ]*\\).*/\\1/"); '
        '"$function" resilience; printf "%s\\n" "${COMPREPLY[@]}"'
    )

    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )

    assert done.stdout.split() == offered, done.stderr


@pytest.fixture(scope="module")
def completion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script for bash, as `resilience --show-completion bash` writes it."""
    path = tmp_path_factory.mktemp("completion") / "resilience.bash"
    done = subprocess.run(
        [RESILIENCE],
        env=environment(_RESILIENCE_COMPLETE="source_bash"),
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    path.write_text(done.stdout, encoding="utf-8")
    return path


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PATH": f"{RESILIENCE.parent}:{os.environ['PATH']}", **more}
