from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilience_runtime import Snapshot


@settings(max_examples=20)
@given(st.binary(max_size=2000))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    snapshot = Snapshot(tmp_path_factory.mktemp("snapshot") / "deep" / "state")

    snapshot.write(content)

    assert snapshot.read() == content


def test_where_there_is_no_file_there_is_nothing(tmp_path: Path) -> None:
    assert Snapshot(tmp_path / "none").read() is None


@settings(max_examples=20)
@given(data=st.data())
def test_damage_anywhere_is_noticed(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("snapshot") / "state"
    Snapshot(path).write(b"the whole state")
    whole = path.read_bytes()
    position = data.draw(st.integers(0, len(whole) - 1))

    path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
    changed = Snapshot(path).read()
    path.write_bytes(whole[:position])
    cut = Snapshot(path).read()

    assert changed is None
    assert cut is None


def test_a_directory_in_its_place_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()

    assert Snapshot(tmp_path / "state").read() is None


def test_a_write_that_fails_keeps_the_old_content_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = Snapshot(tmp_path / "state")
    snapshot.write(b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        snapshot.write(b"new")

    assert snapshot.read() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


async def test_saving_where_nothing_can_be_written_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")

    assert await Snapshot(tmp_path / "good").save(b"x")
    assert not await Snapshot(tmp_path / "file" / "state").save(b"x")
