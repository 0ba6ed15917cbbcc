"""A small disk is filled to its last block; any other is left alone."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any, cast

import pytest

from resilience_chaos.faults import Site, disk
from resilience_cli.errors import StackError
from tests.fixtures.disks import small_disks


def site(root: Path) -> Site:
    return Site(root, cast("Any", None))


@pytest.mark.parametrize(("largest_bytes", "is_mount"), [(2**62, False), (1, True)])
def test_a_disk_that_others_use_or_that_is_large_may_not_be_filled(
    largest_bytes: int, is_mount: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kafka").mkdir()
    monkeypatch.setattr(disk, "LARGEST_BYTES", largest_bytes)
    if is_mount:
        monkeypatch.setattr(Path, "is_mount", lambda _: True)

    with pytest.raises(StackError) as refused:
        disk.require_small_disk(site(tmp_path), "kafka")

    assert "no small disk of its own" in refused.value.message
    assert "mount -t tmpfs" in refused.value.remedy


def test_a_small_disk_takes_nothing_more_until_room_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "restore_part", lambda _root, part: f"{part} answers")
    with small_disks([tmp_path / "kafka"], "3m") as allowed:
        if not allowed:
            pytest.skip("nothing may be mounted here")

        make_room = disk.full(site(tmp_path), "kafka")
        with pytest.raises(OSError, match="No space") as full:
            (tmp_path / "kafka" / "segment").write_bytes(b"record")

        assert full.value.errno == errno.ENOSPC
        assert make_room() == "kafka answers"
        assert (tmp_path / "kafka" / "segment").write_bytes(b"record") == len(b"record")
