"""`resilience incident`: what happened, from the topics."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from resilience_cli.console import EXIT_CODES
from resilience_cli.durations import parse_duration
from resilience_cli.errors import StackError
from resilience_cli.incident import TOPICS
from resilience_cli.incident import report as put_together
from resilience_cli.incident_page import document, page
from resilience_cli.records import read_records
from resilience_cli.target import find_target

app = typer.Typer(help="What happened, from the topics.", epilog=EXIT_CODES, no_args_is_help=True)


@app.callback()
def incident() -> None:
    """Hold the verbs together."""


@app.command(epilog=f"Example: resilience incident report --since 2h --to incident.md. {EXIT_CODES}")
def report(
    *,
    since: Annotated[
        timedelta, typer.Option(parser=parse_duration, metavar="LENGTH", help="How far back: 30m, 2h, 1d.")
    ],
    until: Annotated[
        timedelta | None,
        typer.Option(parser=parse_duration, metavar="LENGTH", help="End that long ago; now without."),
    ] = None,
    scope: Annotated[str | None, typer.Option(help="RESILIENCE_SCOPE or `default` otherwise.")] = None,
    to: Annotated[Path | None, typer.Option(help="A file to write; stdout without it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of Markdown.")] = False,
) -> None:
    """Write a timeline in Markdown: levels and causes, holds with actor and reason, breakers, writes that waited, dead
    letters, time at each level, features lost. Breakers are kept for 24 hours, levels for 90 days.
    """  # noqa: D205 - Typer shows the paragraph whole
    target, now = find_target(), datetime.now(UTC)
    begin, end = now - since, now - until if until else now
    if begin >= end:
        raise typer.BadParameter("--until is not later than --since")
    records = read_records(target.kafka, TOPICS, begin)
    found = put_together(records, scope or target.scope, begin, end)
    text = json.dumps(document(found), indent=2) + "\n" if as_json else page(found)
    if to is None:
        sys.stdout.write(text)
        return
    try:
        to.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StackError(f"{to} cannot be written ({error.strerror})", "name another file") from error
