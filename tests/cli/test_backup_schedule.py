"""Scheduled backups on a clock of the test's own: when they are made, and what a failure changes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from resilience_cli.backup import Proof
from resilience_cli.backup_folder import backups_in, name_at, newest, thin_out
from resilience_cli.backup_metrics import NEWEST, newest_at_s, serve_age
from resilience_cli.backup_schedule import AGAIN_AFTER, Schedule, keep_backing_up
from resilience_cli.errors import StackError
from resilience_cli.main import run
from resilience_cli.stack import free_ports

BEGAN = datetime(2026, 11, 27, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def proved(folder: Path, at: datetime) -> Path:
    file = folder / name_at(at, encrypted=False)
    file.write_bytes(b"content")
    file.with_name(f"{file.name}.sha256").write_text("digest")
    return file


@dataclass
class Day:
    """A clock, a database that may be away, and what was told."""

    folder: Path
    now: datetime = BEGAN
    away: bool = False
    began: list[datetime] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    async def back_up(self, file: Path) -> Proof:
        self.began.append(self.now)
        if self.away:
            raise StackError("the database does not answer", "start it")
        proved(file.parent, self.now)
        return Proof(file, "digest", {"ledger": 1})

    async def sleep(self, seconds: float) -> None:
        assert seconds <= AGAIN_AFTER.total_seconds()
        self.now += timedelta(seconds=max(seconds, 0.001))
        await asyncio.sleep(0)

    def made(self, proof: Proof, gone: list[Path]) -> None:
        assert proof.file.exists()
        self.told.append(f"made, {len(gone)} gone")

    def failed(self, error: StackError, again_in: timedelta) -> None:
        self.told.append(f"{error.message}, {again_in}")

    async def passes(self, length: timedelta, every: timedelta = HOUR, hourly: int = 24) -> None:
        end = self.now + length
        schedule = Schedule(self.folder, every, hourly, 7, encrypted=False)
        going = asyncio.ensure_future(
            keep_backing_up(schedule, self.back_up, self, now=lambda: self.now, sleep=self.sleep)
        )
        while self.now < end and not going.done():  # noqa: ASYNC110 - the clock is the test's
            await asyncio.sleep(0)
        going.cancel()
        with pytest.raises(asyncio.CancelledError):
            await going


@pytest.fixture
def day(tmp_path: Path) -> Day:
    return Day(tmp_path / "backups")


async def test_one_is_made_at_once_and_then_each_hour(day: Day) -> None:
    await day.passes(timedelta(hours=3, minutes=30))

    assert [round((at - BEGAN) / HOUR, 2) for at in day.began] == [0, 1, 2, 3]
    assert len([each for each in backups_in(day.folder) if each.proved]) == 4


async def test_a_restart_makes_no_more_of_them(day: Day) -> None:
    await day.passes(timedelta(minutes=20))
    await day.passes(timedelta(minutes=20))
    await day.passes(timedelta(minutes=25))

    assert len(day.began) == 2


async def test_a_failure_is_told_tried_again_each_minute_and_removes_nothing(day: Day) -> None:
    await day.passes(timedelta(minutes=30), hourly=1)
    day.away = True
    await day.passes(timedelta(minutes=32, seconds=30), hourly=1)
    assert day.told == ["made, 0 gone", *["the database does not answer, 0:01:00"] * 3]
    assert [each.made_at for each in backups_in(day.folder)] == [BEGAN]

    day.away = False
    await day.passes(timedelta(minutes=1), hourly=1)

    assert day.told[-1].startswith("made")


async def test_a_backup_from_the_future_puts_none_off(day: Day) -> None:
    day.folder.mkdir()
    proved(day.folder, BEGAN + timedelta(days=1))

    await day.passes(timedelta(minutes=1))

    assert len(day.began) == 1


async def test_a_backup_that_was_not_proved_puts_none_off(day: Day) -> None:
    day.folder.mkdir()
    (day.folder / name_at(BEGAN, encrypted=True)).write_bytes(b"half of it")

    await day.passes(timedelta(minutes=1))

    assert len(day.began) == 1


async def test_a_folder_that_cannot_be_made_is_told_and_tried_again(day: Day) -> None:
    day.folder.write_text("a file is in its place")

    await day.passes(timedelta(minutes=2, seconds=30))

    assert len(day.told) == 3
    assert "cannot be made (File exists)" in day.told[0]


def times_of(files: Iterable[Path]) -> set[str]:
    return {file.name[6:21] for file in files}


def test_only_proved_backups_are_counted_and_removed(tmp_path: Path) -> None:
    for hours in range(5):
        proved(tmp_path, BEGAN - hours * HOUR)
    unproved = tmp_path / name_at(BEGAN + HOUR, encrypted=True)
    unproved.write_bytes(b"half of it")
    foreign = tmp_path / "stock-of-1999.dump"
    foreign.write_bytes(b"not ours")

    gone = thin_out(tmp_path, hourly=2, daily=1, now=BEGAN)

    assert times_of(gone) == {"20261127T100000", "20261127T090000", "20261127T080000"}
    assert unproved.exists()
    assert foreign.exists()
    assert sorted(file.name for file in tmp_path.glob("*.sha256")) == [
        "stock-20261127T110000.dump.sha256",
        "stock-20261127T120000.dump.sha256",
    ]


def test_a_backup_from_the_future_is_neither_the_newest_nor_takes_the_place_of_one_that_is(
    tmp_path: Path,
) -> None:
    for hours in (-30, -29, 0, 1):
        proved(tmp_path, BEGAN - hours * HOUR)

    found = newest(backups_in(tmp_path), BEGAN)
    gone = thin_out(tmp_path, hourly=2, daily=1, now=BEGAN)

    assert found is not None
    assert found.made_at == BEGAN
    assert gone == []


def test_the_age_of_the_newest_backup_that_counts_is_told(tmp_path: Path) -> None:
    assert newest_at_s(tmp_path / "none", BEGAN) == 0
    assert newest_at_s(tmp_path, BEGAN) == 0

    proved(tmp_path, BEGAN - 3 * HOUR)
    proved(tmp_path, BEGAN + HOUR)
    (tmp_path / name_at(BEGAN, encrypted=True)).write_bytes(b"half of it")

    assert newest_at_s(tmp_path, BEGAN) == (BEGAN - 3 * HOUR).timestamp()


def test_prometheus_is_told_and_a_taken_port_is_one_line(tmp_path: Path) -> None:
    at = proved(tmp_path, BEGAN)
    (port,) = free_ports(1)

    serve_age("127.0.0.1", port, tmp_path, lambda: BEGAN)

    told = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
    assert f"{NEWEST.name} {BEGAN.timestamp()}" in told.replace("1.7957808e+09", "1795780800.0")
    at.unlink()
    assert f"{NEWEST.name} 0.0" in httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
    with pytest.raises(StackError, match="cannot be listened at"):
        serve_age("127.0.0.1", port, tmp_path, lambda: BEGAN)


@pytest.mark.parametrize("ahead", [False, True])
def test_a_backup_from_the_future_hides_from_nobody_that_there_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], ahead: bool
) -> None:
    now = datetime.now(UTC)
    proved(tmp_path, now + HOUR if ahead else now)

    code = run(["backups", str(tmp_path), "--max-age", "2h"])

    told = capsys.readouterr()
    assert code == (1 if ahead else 0)
    assert ("There is no proved backup" in told.out) is ahead
    assert len([line for line in told.err.splitlines() if "time to come" in line]) == (1 if ahead else 0)


@pytest.mark.parametrize(
    "words",
    [
        ("--metrics", "127.0.0.1:9104"),
        ("--schedule", "1h", "--metrics", "9104"),
        ("--schedule", "1h", "--metrics", "x:0"),
    ],
)
def test_an_address_for_metrics_that_is_none_is_wrong_usage(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert run(["backup", str(tmp_path), *words]) == 2
