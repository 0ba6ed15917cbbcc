"""`resilience backup` and `resilience restore`: the stock database as a file, and back."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from resilience_cli.apart import run_apart
from resilience_cli.backup import Proof, back_up
from resilience_cli.backup import restore as put_back
from resilience_cli.console import out
from resilience_cli.errors import StackError
from resilience_cli.stack import Place, PostgreSQL
from resilience_cli.target import find_target, stack_root

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document, for programs.")]


def backup(
    file: Annotated[Path | None, typer.Argument(help="Where to; by default stock-<time>.dump here.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write a backup of the stock database and prove it by restoring it into a scratch database.

    Beside the file lies its SHA-256, as sha256sum reads it. DATABASE_URL names a database other than the stack's.
    """
    target = file or Path(f"stock-{datetime.now(UTC):%Y%m%dT%H%M%S}.dump")
    proof = run_apart(back_up(_url(), target))
    if as_json:
        print(json.dumps(_document(proof)))
    else:
        _show(proof)


def restore(
    file: Annotated[Path, typer.Argument(help="A file that `resilience backup` wrote.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    replay: Annotated[
        bool,
        typer.Option(help="Bring it up to date from Kafka; --no-replay goes back to the time of the backup."),
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Replace the stock database by a backup and by what was written since. The old one stays under another name.

    What was written comes from Kafka (inventory.writes.v1), and from the old database what it had not published yet.
    inventory-api may run on: it is without a database for a moment, and applies the commands that were accepted
    while PostgreSQL was away.
    """
    if not yes:
        typer.confirm("Replace the stock database?", abort=True, err=as_json)
    done = run_apart(put_back(_url(), file, find_target().kafka if replay else None))
    if as_json:
        print(json.dumps(_document(done.proof) | {"statements": done.statements, "old": done.old}))
        return
    _show(done.proof)
    out.print(f"Replayed {done.statements:,} statements written since")
    if done.old:
        out.print(f"The database that was there is now {escape(done.old)}", soft_wrap=True)


def _document(proof: Proof) -> dict[str, Any]:
    return {"file": str(proof.file), "sha256": proof.sha256, "rows": dict(proof.rows)}


def _show(proof: Proof) -> None:
    for name, rows in proof.rows.items():
        out.print(f"  {escape(name):<24} {rows:>12,}")
    out.print(f"[green]Proved[/] {escape(str(proof.file))}  sha256 {proof.sha256}", soft_wrap=True)


def _url() -> str:
    given = os.environ.get("DATABASE_URL")
    if given:
        return given
    place = Place(stack_root())
    if not place.secret("postgresql.password").exists():
        raise StackError("no database is known here", "start the stack, or set DATABASE_URL")
    return PostgreSQL(place, find_target().ports["postgresql"]).url
