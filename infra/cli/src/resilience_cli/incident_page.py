"""An incident report as a Markdown page for the people who were not there."""

from __future__ import annotations

import re
from collections import Counter
from datetime import datetime
from typing import Any

from .console import tame
from .durations import spoken
from .incident import Report

TO_FILL_IN = """\
## To be filled in by those who were there

- Impact on shops and staff, in numbers:
- What started it, and why it was possible:
- What helped, what did not, where luck was needed:
- Actions, each with an owner and a date:
"""


def page(report: Report) -> str:
    """Write the report; whatever comes from records is shown as text and never as markup."""
    return "\n".join([*_head(report), *_levels(report), *_lost(report), *_timeline(report), TO_FILL_IN])


def document(report: Report) -> dict[str, Any]:
    """Return the report for programs: times in RFC 3339, lengths in seconds."""
    return {
        "scope": report.scope,
        "since": report.since.isoformat(timespec="seconds"),
        "until": report.until.isoformat(timespec="seconds"),
        "begin_level": report.begin_level,
        "end_level": report.end_level,
        "worst_level": report.worst_level,
        "levels": [
            {
                "level": one.level,
                "total_s": one.total.total_seconds(),
                "longest_s": one.longest.total_seconds(),
            }
            for one in report.levels
        ],
        "features_lost": [
            {
                "feature": one.feature,
                "worst": one.worst.value,
                "since": one.since.isoformat(),
                "until": one.until.isoformat() if one.until else None,
                "total_s": one.total.total_seconds(),
            }
            for one in report.lost
        ],
        "timeline": [
            {"at": one.at.isoformat(), "kind": one.kind, "text": one.text} for one in report.timeline
        ],
    }


def _head(report: Report) -> list[str]:
    kinds = Counter(entry.kind for entry in report.timeline)
    counted = (
        ", ".join(f"{number} of {kind}" for kind, number in sorted(kinds.items())) or "nothing was recorded"
    )
    course = (
        f"{report.begin_level} at the beginning, {report.worst_level} at worst, {report.end_level} at the end"
        if report.begin_level
        else "the level did not change"
    )
    return [
        f"# Incident report: scope {_text(report.scope)}",
        "",
        f"{_time(report.since)} to {_time(report.until)} UTC, {spoken(report.until - report.since)}.",
        "",
        f"- Level: {course}",
        f"- Timeline: {_text(counted)}",
        "",
    ]


def _levels(report: Report) -> list[str]:
    if not report.levels:
        return []
    rows = [
        f"| {_text(one.level)} | {spoken(one.total)} | {spoken(one.longest)} "
        f"| {one.total / (report.until - report.since):.1%} |"
        for one in report.levels
    ]
    return [
        "## Time at each level",
        "",
        "| level | in all | longest | share |",
        "|---|---|---|---|",
        *rows,
        "",
    ]


def _lost(report: Report) -> list[str]:
    if not report.lost:
        return []
    rows = [
        f"| {_text(one.feature)} | {one.worst.value} | {spoken(one.total)} | {_time(one.since)} "
        f"| {_time(one.until) if one.until else 'not yet'} |"
        for one in report.lost
    ]
    head = ["| feature | worst | for | first lost | back |", "|---|---|---|---|---|"]
    return ["## Features lost", "", *head, *rows, ""]


def _timeline(report: Report) -> list[str]:
    rows = [f"| {_time(one.at)} | {_text(one.kind)} | {_text(one.text)} |" for one in report.timeline]
    if not rows:
        return ["## Timeline", "", "Nothing was recorded.", ""]
    return ["## Timeline", "", "| time (UTC) | what | details |", "|---|---|---|", *rows, ""]


def _text(text: str) -> str:
    flat = tame(text).replace("\n", " ")
    return re.sub(r"([\\`*_\[\]<>|#&])", r"\\\1", flat)


def _time(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S}"
