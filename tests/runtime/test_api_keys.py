from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience_runtime import Caller, KeyEntry, KeyRing, StartupError, create_key


def write(path: Path, *entries: KeyEntry) -> Path:
    path.write_text(json.dumps([entry.model_dump(mode="json") for entry in entries]))
    return path


def test_a_key_is_known_by_its_digest_alone(tmp_path: Path) -> None:
    key, entry = create_key("console", frozenset({"read", "write"}))
    path = write(tmp_path / "keys.json", entry)

    ring = KeyRing.load(path)

    assert ring.caller(key) == Caller("console", frozenset({"read", "write"}))
    assert key not in path.read_text()


@given(st.text())
def test_anything_else_is_nobody(text: str) -> None:
    _, entry = create_key("console", frozenset({"read"}))

    assert KeyRing((entry,)).caller(text) is None


def test_without_a_file_nobody_has_a_key() -> None:
    assert KeyRing.load(None).caller("") is None


def test_a_changed_file_counts_at_once(tmp_path: Path) -> None:
    old, old_entry = create_key("old", frozenset({"read"}))
    new, new_entry = create_key("new", frozenset({"read"}))
    path = write(tmp_path / "keys.json", old_entry)
    ring = KeyRing.load(path)

    write(tmp_path / "next", new_entry).replace(path)

    assert ring.caller(old) is None
    assert ring.caller(new) == Caller("new", frozenset({"read"}))


@pytest.mark.parametrize("content", ["", "{", '[{"name": "x"}]', "[1]"])
def test_a_file_that_breaks_later_changes_nothing(tmp_path: Path, content: str) -> None:
    key, entry = create_key("console", frozenset({"read"}))
    path = write(tmp_path / "keys.json", entry)
    ring = KeyRing.load(path)

    path.write_text(content)
    os.utime(path, ns=(1, 1))
    broken = ring.caller(key)
    path.unlink()

    assert broken is not None
    assert ring.caller(key) is not None


@pytest.mark.parametrize("content", [None, "", "{", '[{"name": "x", "sha256": "short", "scopes": []}]'])
def test_a_file_that_is_wrong_at_the_start_is_one_line_naming_the_variable(
    tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "keys.json"
    if content is not None:
        path.write_text(content)

    with pytest.raises(StartupError) as error:
        KeyRing.load(path)

    assert str(error.value).startswith("API_KEYS_FILE")
    assert "\n" not in str(error.value)
