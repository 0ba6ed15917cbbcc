"""Lengths of time as people write them: `90s`, `15m`, `2h`, `1h30m`, `1d`."""

from __future__ import annotations

import re
from datetime import timedelta

import typer

_UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
LONGEST = timedelta(days=3650)
_PARTS = re.compile(r"(\d{1,6})([dhms])")


def parse_duration(text: str) -> timedelta:
    """Read a length of time; `typer.Option(parser=parse_duration)`.

    Raises:
        typer.BadParameter: it is none, or no time at all.
    """
    parts = _PARTS.findall(text)
    units = [unit for _, unit in parts]
    whole = "".join(number + unit for number, unit in parts) == text
    given = timedelta(**{_UNITS[unit]: int(number) for number, unit in parts})
    if not whole or not given or len(set(units)) != len(units):
        raise typer.BadParameter(f"{text!r} is no length of time; write it as 90s, 15m, 2h, 1h30m or 1d")
    if given > LONGEST:
        raise typer.BadParameter(f"{text!r} is longer than {LONGEST.days}d")
    return given


def spoken(length: timedelta) -> str:
    """Say a length of time in its two largest units: `1 h 30 m`, `0 s` at the least."""
    seconds = max(0, int(length.total_seconds()))
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} m" if hours else f"{minutes} m {seconds} s" if minutes else f"{seconds} s"
