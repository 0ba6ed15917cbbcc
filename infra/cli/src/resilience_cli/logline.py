"""A service's JSON log line, made readable."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

LONGEST = 240
FRAME = re.compile(r"\s+(at |File \"|\.\.\. \d+ more)|Traceback")
COMPLAINT = re.compile(r"FATAL|PANIC|ERROR|Error\b|Exception|crashed")
PLAIN = {"event", "level", "logger", "timestamp", "exception", "service", "instance"}


def readable(line: str) -> list[str]:
    """Turn a JSON log line into lines for people; another line stays as it is."""
    entry = _entry(line)
    if entry is None:
        return [line]
    rest = " ".join(f"{name}={value}" for name, value in entry.items() if name not in PLAIN)
    time = str(entry.get("timestamp", ""))[11:23]
    head = f"{time} {entry.get('level', '')}: {entry['event']} {rest}".rstrip()
    return [head, *str(entry.get("exception", "")).splitlines()]


def telling(lines: Sequence[str]) -> str:
    """Pick the line that says why a process ended: its last complaint, else its last line."""
    complaints = [line for line in lines if COMPLAINT.search(line)]
    return (complaints or list(lines) or ["it wrote nothing"])[-1]


def brief(lines: Sequence[str]) -> list[str]:
    """Leave out the frames of tracebacks and shorten the rest."""
    return [gist(line) for line in lines if not FRAME.match(line)]


def gist(line: str) -> str:
    """Say in a few words what a log line says; of an exception its last line."""
    entry = _entry(line)
    if entry is not None:
        exception = str(entry.get("exception", "")).strip().splitlines()
        line = f"{entry['event']}: {exception[-1]}" if exception else str(entry["event"])
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


def _entry(line: str) -> dict[str, object] | None:
    if not line.startswith("{"):
        return None
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and "event" in entry else None
