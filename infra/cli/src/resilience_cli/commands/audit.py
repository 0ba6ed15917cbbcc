"""`resilience audit`: keep a copy of who did what, and find out whether somebody changed it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from resilience_cli.audit_log import Judged, judge, read_file, read_topic
from resilience_cli.console import EXIT_CODES, Exit, out
from resilience_cli.errors import StackError
from resilience_cli.target import find_target

app = typer.Typer(help="The audit log: copy it, check it.", epilog=EXIT_CODES, no_args_is_help=True)


@app.command(epilog=f"Example: resilience audit export audit.jsonl. {EXIT_CODES}")
def export(
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="stdout without it.")] = None,
) -> None:
    """Write every entry as it is, one JSON document a line, oldest first."""
    text = b"".join(line.replace(b"\n", b" ") + b"\n" for line in read_topic(find_target().kafka))
    if file is None:
        sys.stdout.buffer.write(text)
        return
    try:
        file.write_bytes(text)
    except OSError as error:
        raise StackError(f"{file} cannot be written ({error.strerror})", "name another file") from error


@app.command(epilog=f"Example: resilience audit verify --against audit.jsonl. {EXIT_CODES}")
def verify(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="An export; the topic without it.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option(help="An earlier export, of which every entry must still be there.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document, for programs.")] = False,
) -> None:
    """Find every entry that was changed, dropped or moved. Exits with 1 if there is one.

    Entries dropped from the very end, and a chain forged from its beginning, show only against an earlier export.
    """
    copy = read_file(against) if against else []
    judged = judge(read_file(file) if file else read_topic(find_target().kafka), copy)
    _show(judged, as_json=as_json)
    raise typer.Exit(Exit.FOUND if judged.faults else Exit.OK)


def _show(judged: Judged, *, as_json: bool) -> None:
    if as_json:
        document = {"entries": len(judged.entries), "faults": judged.faults, "tips": judged.tips}
        print(json.dumps(document, indent=2))
        return
    for fault in judged.faults:
        out.print(f"fault: {fault}", markup=False, soft_wrap=True)
    for writer, tip in sorted(judged.tips.items()):
        out.print(f"{writer} ends at {tip}", markup=False, soft_wrap=True)
    found = f"{len(judged.faults)} faults" if judged.faults else "no fault"
    out.print(f"{len(judged.entries)} entries, {found}", markup=False)
