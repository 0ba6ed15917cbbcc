"""Runs and lists of experiments as the command shows them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table as Grid

from resilience_cli.console import err, out

from .faults import Site
from .report import document, write_report
from .run import Outcome, require_possible, run_all
from .session import policy_of
from .table import Row


def show_list(rows: Sequence[Row], *, as_json: bool) -> None:
    """Write which experiments there are."""
    if as_json:
        print(json.dumps({"experiments": [_listed(row) for row in rows]}, indent=2))
        return
    grid = Grid("experiment", "faults", "level", box=None, header_style="bold dim", padding=(0, 2, 0, 0))
    for row in rows:
        told = _listed(row)
        grid.add_row(row.name, escape("; ".join(told["faults"])), " or ".join(told["levels"]))
    out.print(grid)
    singles = sum(row.is_single for row in rows)
    out.print(f"{len(rows)} experiments: {singles} single faults, {len(rows) - singles} combined or repeated")


def show_run(rows: Sequence[Row], root: Path, folder: Path, *, as_json: bool) -> bool:
    """Run, say of each how it went, write the report; return whether all was as declared.

    Raises:
        StackError: nothing was begun, as something is lacking; or it was interrupted, and is mended.
    """
    require_possible(rows, root)
    at, outcomes = datetime.now(UTC), list[Outcome]()
    try:
        for outcome in run_all(rows, root):
            outcomes.append(outcome)
            _tell(outcome, len(outcomes), len(rows))
    finally:
        pages = write_report(outcomes, policy_of(Site.at(root)).sha256, at, folder) if outcomes else ()
    failed = [outcome for outcome in outcomes if not outcome.passed]
    if as_json:
        told = [document(outcome) for outcome in outcomes]
        print(
            json.dumps(
                {"experiments": told, "failed": len(failed), "reports": list(map(str, pages))}, indent=2
            )
        )
    else:
        out.print(f"{len(outcomes) - len(failed)} of {len(outcomes)} as declared", soft_wrap=True)
        for page in pages:
            out.print(str(page), soft_wrap=True, markup=False)
    return not failed


def _listed(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "faults": [f"{fault}{f' x {row.times}' if row.times > 1 else ''}" for fault in row.faults],
        "levels": [level.name for level in row.levels],
        "needs_proxies": row.needs_proxies,
    }


def _tell(outcome: Outcome, number: int, total: int) -> None:
    """Tell how one went, on stderr: what is asked for goes to stdout."""
    mark = "[green]ok[/]" if outcome.passed else "[bold red]not as declared[/]"
    err.print(f"{number}/{total} {outcome.row.name}: {mark} ({outcome.took_s:.0f} s)", soft_wrap=True)
    for text in outcome.broken:
        err.print(f"    {escape(text)}", soft_wrap=True)
