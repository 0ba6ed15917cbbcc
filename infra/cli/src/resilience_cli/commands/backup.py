"""`resilience backup`, `backups` and `restore`: the stock database as a file, and back."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from resilience_cli.backup import Proof, back_up
from resilience_cli.backup_folder import Kept, backups_in, damaged, name_at, newest
from resilience_cli.backup_key import BackupKey
from resilience_cli.backup_metrics import serve_age
from resilience_cli.backup_schedule import Schedule, keep_backing_up
from resilience_cli.console import Exit, complain, out
from resilience_cli.durations import parse_duration, spoken
from resilience_cli.errors import StackError
from resilience_cli.restore import restore as put_back
from resilience_cli.stack.ports import HIGHEST
from resilience_cli.target import database_url, find_target, standby_url
from resilience_cli.until_told import run_until_told

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document, for programs.")]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        "--key", envvar="BACKUP_KEY_FILE", help="A key of `resilience keys backup`: encrypts, and opens."
    ),
]
MB = 1_000_000


def backup(
    where: Annotated[
        Path | None,
        typer.Argument(
            help="Where to: a file, by default stock-<time>.dump here; with --schedule a folder, by default backups."
        ),
    ] = None,
    schedule: Annotated[
        timedelta | None,
        typer.Option(
            parser=parse_duration,
            metavar="LENGTH",
            help="Stay in the foreground and make one whenever the newest is so old, as 1h.",
        ),
    ] = None,
    *,
    keep_hourly: Annotated[
        int, typer.Option(min=0, help="With --schedule: of how many hours the newest stays.")
    ] = 24,
    keep_daily: Annotated[
        int, typer.Option(min=0, help="With --schedule: of how many days the newest stays.")
    ] = 7,
    metrics: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="With --schedule: tell Prometheus there how old the newest is, as 127.0.0.1:9104.",
        ),
    ] = None,
    key: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Write a backup of the stock database and prove it by restoring it into a scratch database.

    Beside the file lies its SHA-256, as sha256sum reads it. DATABASE_URL names a database other than the stack's,
    by TLS if it says so.
    """
    if metrics and not schedule:
        raise typer.BadParameter("it is of use with --schedule alone", param_hint="--metrics")
    place = _address(metrics) if metrics else None
    url, secret = database_url(), BackupKey.load(key) if key else None
    if schedule:
        plan = Schedule(where or Path("backups"), schedule, keep_hourly, keep_daily, secret is not None)
        told = _Told(as_json=as_json)
        if place:
            serve_age(*place, plan.folder, lambda: datetime.now(UTC))
        run_until_told(keep_backing_up(plan, lambda file: back_up(url, file, secret), told))
        raise typer.Exit(Exit.FAILED if told.failing else Exit.OK)
    target = where or Path(name_at(datetime.now(UTC), encrypted=secret is not None))
    proof = run_until_told(back_up(url, target, secret))
    if proof is None:
        raise StackError("stopped before the backup was proved", "run it again; nothing is left of it")
    if as_json:
        print(json.dumps(_document(proof)))
    else:
        _show(proof)


def backups(
    folder: Annotated[Path, typer.Argument(help="Where `resilience backup --schedule` puts them.")] = Path(
        "backups"
    ),
    max_age: Annotated[
        timedelta | None,
        typer.Option(
            parser=parse_duration, metavar="LENGTH", help="Exit with 1 when the newest is older, as 2h."
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Read each file and compare its checksum; exit with 1 if one differs."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the backups of a folder, newest first. A backup that was not proved does not count."""
    found, now = backups_in(folder), datetime.now(UTC)
    latest = newest(found, now)
    ahead = sum(each.made_at > now for each in found)
    if ahead:
        complain(
            f"{ahead} of them are from a time to come and do not count",
            "set the clock; when it is right, take them away",
        )
    bad = damaged(found) if check else []
    late = max_age is not None and (latest is None or now - latest.made_at > max_age)
    if as_json:
        print(json.dumps({"backups": [_row(each, now, bad) for each in found], "late": late}))
    else:
        for each in found:
            _show_row(each, now, bad)
        out.print(_summary(latest, now, late=late))
    raise typer.Exit(Exit.FOUND if late or bad else Exit.OK)


def restore(
    file: Annotated[Path, typer.Argument(help="A file that `resilience backup` wrote.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    replay: Annotated[
        bool,
        typer.Option(help="Bring it up to date from Kafka; --no-replay goes back to the time of the backup."),
    ] = True,
    standby: Annotated[
        bool,
        typer.Option(
            help="Read what was not published from a standby too: STANDBY_URL, or the stack's if it has one."
        ),
    ] = True,
    key: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Replace the stock database by a backup and by what was written since. The old one stays under another name.

    What was written comes from Kafka (inventory.writes.v1), and what was not published yet from the old database and
    from a standby, as far as they can be read.
    inventory-api may run on: it is without a database for a moment, and applies the commands that were accepted
    while PostgreSQL was away.
    """
    url, secret = database_url(), BackupKey.load(key) if key else None
    beside = standby_url() if standby and replay else None
    if not yes:
        typer.confirm("Replace the stock database?", abort=True, err=as_json)
    done = run_until_told(put_back(url, file, find_target().kafka if replay else None, secret, beside))
    if done is None:
        raise StackError("stopped before anything was replaced", "run it again")
    if as_json:
        print(json.dumps(_document(done.proof) | {"statements": done.statements, "old": done.old}))
        return
    _show(done.proof)
    out.print(f"Replayed {done.statements:,} statements written since")
    if done.old:
        out.print(f"The database that was there is now {escape(done.old)}", soft_wrap=True)


class _Told:
    """Writes how each scheduled backup went, one line each."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self.failing = False

    def made(self, proof: Proof, gone: list[Path]) -> None:
        """Tell of a proved one."""
        self.failing = False
        if self._as_json:
            print(json.dumps(_document(proof) | {"removed": [str(file) for file in gone]}), flush=True)
            return
        rows, size = sum(proof.rows.values()), proof.file.stat().st_size / MB
        removed = f", removed {len(gone)} older" if gone else ""
        out.print(
            f"[green]Proved[/] {escape(str(proof.file))}  {rows:,} rows, {size:.1f} MB{removed}",
            soft_wrap=True,
        )

    def failed(self, error: StackError, again_in: timedelta) -> None:
        """Tell of one that failed."""
        self.failing = True
        complain(f"{error.message}; again in {spoken(again_in)}", error.remedy)


def _row(each: Kept, now: datetime, bad: list[Path]) -> dict[str, Any]:
    return {
        "file": str(each.file),
        "made_at": each.made_at.isoformat(),
        "age_s": round((now - each.made_at).total_seconds()),
        "size_bytes": each.size_bytes,
        "encrypted": each.encrypted,
        "proved": each.proved,
        "damaged": each.file in bad,
    }


def _show_row(each: Kept, now: datetime, bad: list[Path]) -> None:
    state = (
        "[red]damaged[/]"
        if each.file in bad
        else "[green]proved[/]"
        if each.proved
        else "[yellow]not proved[/]"
    )
    age = f"{spoken(now - each.made_at)} old" if each.made_at <= now else "from a time to come"
    out.print(
        f"  {escape(str(each.file))}  {age:>14}  {each.size_bytes / MB:>8.1f} MB  {state}", soft_wrap=True
    )


def _summary(latest: Kept | None, now: datetime, *, late: bool) -> str:
    if latest is None:
        return "[red]There is no proved backup[/]"
    told = f"The newest proved one is {spoken(now - latest.made_at)} old"
    return f"[red]{told}: too old[/]" if late else told


def _document(proof: Proof) -> dict[str, Any]:
    return {"file": str(proof.file), "sha256": proof.sha256, "rows": dict(proof.rows)}


def _show(proof: Proof) -> None:
    for name, rows in proof.rows.items():
        out.print(f"  {escape(name):<24} {rows:>12,}")
    out.print(f"[green]Proved[/] {escape(str(proof.file))}  sha256 {proof.sha256}", soft_wrap=True)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) <= HIGHEST:
        raise typer.BadParameter(f"{text} is not like 127.0.0.1:9104", param_hint="--metrics")
    return host, int(port)
