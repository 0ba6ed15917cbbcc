"""The report of a run: one page in HTML, one in Markdown, and each experiment with its journal and its picture."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from resilience_cli.errors import StackError

from .promises import machine_s
from .record import CONTROL, Record
from .run import Outcome
from .timeline import timeline

HTML, MARKDOWN = "chaos.html", "chaos.md"
FOLDER = "chaos"


def write_report(outcomes: Sequence[Outcome], policy: str, at: datetime, folder: Path) -> tuple[Path, Path]:
    """Write both pages and what belongs to them; return where they are.

    Args:
        outcomes: in the order in which they are shown.
        policy: the digest of the policy in force.
        at: when the run began.
        folder: is created.

    Raises:
        StackError: it cannot be written to.
    """
    environment = Environment(
        loader=PackageLoader("resilience_chaos"),
        autoescape=select_autoescape(["html.j2"]),
        keep_trailing_newline=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    given = {
        "outcomes": [_told(outcome) for outcome in outcomes],
        "passed": sum(outcome.passed for outcome in outcomes),
        "singles": sum(outcome.row.is_single for outcome in outcomes),
        "policy": policy[:12],
        "at": at.astimezone(UTC).isoformat(timespec="seconds"),
        "html": HTML,
    }
    pages = {
        folder / HTML: environment.get_template("report.html.j2").render(given),
        folder / MARKDOWN: environment.get_template("report.md.j2").render(given),
    }
    for outcome in outcomes:
        own = folder / FOLDER / outcome.row.name
        pages[own.with_suffix(".svg")] = timeline(outcome.record)
        pages[own.with_suffix(".json")] = json.dumps(outcome.experiment, indent=2)
        pages[own.with_suffix(".journal.json")] = json.dumps(outcome.journal, indent=2, default=str)
        pages[own.with_suffix(".record.json")] = json.dumps(asdict(outcome.record), default=sorted)
    try:
        (folder / FOLDER).mkdir(parents=True, exist_ok=True)
        for path, text in pages.items():
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StackError(
            f"{folder} cannot be written ({error.strerror})", "free or open that place"
        ) from error
    return folder / HTML, folder / MARKDOWN


def document(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome for programs; times in seconds."""
    return {
        "name": outcome.row.name,
        "faults": [str(fault) for fault in outcome.row.faults],
        "passed": outcome.passed,
        "broken": list(outcome.broken),
        "took_s": round(outcome.took_s, 1),
        "moments": [
            {"at_s": round(moment.at_s, 2), "kind": moment.kind, "text": moment.text}
            for moment in outcome.record.moments
        ],
        "stock": outcome.record.stock,
    }


def _told(outcome: Outcome) -> dict[str, Any]:
    row = outcome.row
    return {
        "name": row.name,
        "description": outcome.experiment["description"],
        "faults": "; ".join(map(str, row.faults)) + (f" (x {row.times})" if row.times > 1 else ""),
        "expected": " or ".join(level.name for level in row.levels) + (", stale" if row.stale else ""),
        "passed": outcome.passed,
        "broken": outcome.broken,
        "took": f"{outcome.took_s:.0f} s",
        "calls": _calls(outcome.record),
        "moments": [f"{moment.at_s:.1f} s: {moment.text}" for moment in outcome.record.moments],
        "picture": Markup(timeline(outcome.record)),  # noqa: S704 - built here, every text in it escaped
        "file": f"{FOLDER}/{row.name}.svg",
    }


def _calls(record: Record) -> str:
    answers = Counter((call.kind, call.status) for call in record.calls if call.kind != CONTROL)
    told = ", ".join(
        f"{kind} {status or 'no answer'}: {number}" for (kind, status), number in sorted(answers.items())
    )
    return (
        f"Answers: {told}. The longest call that needs nothing took {machine_s(record) * 1000:.0f} ms."
        if told
        else ""
    )
