"""A folder of backups: what is in it, and what may go."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from .backup import check, sums_of
from .errors import StackError
from .retention import kept

_NAME = re.compile(r"stock-(\d{8}T\d{6})\.dump(\.age)?")
_TIME = "%Y%m%dT%H%M%S"


@dataclass(frozen=True, slots=True)
class Kept:
    """A backup in a folder. `proved`: its checksum, which is written after the proof, lies beside it."""

    file: Path
    made_at: datetime
    size_bytes: int
    proved: bool

    def counts(self, now: datetime) -> bool:
        """Tell whether it is a backup to rely on: proved, and not from a time to come, when some clock was wrong."""
        return self.proved and self.made_at <= now

    @property
    def encrypted(self) -> bool:
        """Whether a key is needed to open it."""
        return self.file.suffix == ".age"


def name_at(now: datetime, *, encrypted: bool) -> str:
    """Return the name of a backup that begins now."""
    return f"stock-{now:{_TIME}}.dump{'.age' if encrypted else ''}"


def backups_in(folder: Path) -> list[Kept]:
    """Return the backups of a folder, newest first; other files are none of them.

    Raises:
        StackError: it cannot be read.
    """
    try:
        return sorted(filter(None, map(_read, folder.iterdir())), key=lambda each: each.made_at, reverse=True)
    except OSError as error:
        raise StackError(f"{folder} cannot be read ({error.strerror})", "name a folder of backups") from error


def newest(backups: list[Kept], now: datetime) -> Kept | None:
    """Return the newest one to rely on."""
    return next((each for each in backups if each.counts(now)), None)


def thin_out(folder: Path, hourly: int, daily: int, now: datetime) -> list[Path]:
    """Remove the backups that need not stay; return them. What does not count is left for a person.

    Raises:
        StackError: a file cannot be removed.
    """
    proved = [each for each in backups_in(folder) if each.counts(now)]
    staying = kept((each.made_at for each in proved), hourly, daily)
    going = [each.file for each in proved if each.made_at not in staying]
    try:
        for file in going:
            file.unlink()
            sums_of(file).unlink()
    except OSError as error:
        raise StackError(f"{file} cannot be removed ({error.strerror})", "look at the folder") from error
    return going


def damaged(backups: list[Kept]) -> list[Path]:
    """Return the files that are not what their checksum says."""
    return [each.file for each in backups if each.proved and not _whole(each.file)]


def _whole(file: Path) -> bool:
    try:
        check(file)
    except StackError:
        return False
    return True


def _read(file: Path) -> Kept | None:
    found = _NAME.fullmatch(file.name)
    if not found:
        return None
    try:
        made_at = datetime.strptime(found[1], _TIME).replace(tzinfo=UTC)
    except ValueError:
        return None
    return Kept(file, made_at, file.stat().st_size, sums_of(file).exists())
