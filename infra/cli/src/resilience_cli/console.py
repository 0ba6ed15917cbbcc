"""Where the command writes: results to stdout, everything else to stderr."""

from __future__ import annotations

from enum import IntEnum

from rich.console import Console
from rich.markup import escape

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


class Exit(IntEnum):
    """Exit codes of every command."""

    OK = 0
    """Done, or all is well."""
    FOUND = 1
    """Something is wrong with what was looked at: a failed check, topics that differ, no level."""
    USAGE = 2
    """The command or a setting is wrong."""
    FAILED = 3
    """It could not be done; the line on stderr says why and what helps."""


EXIT_CODES = (
    "Exit codes: 0 done or all well; 1 what was looked at is not well; 2 wrong usage; "
    "3 could not be done (one line on stderr says why and what helps)."
)


def tame(text: str) -> str:
    """Show control characters as escapes: nothing that somebody put into a topic may steer a terminal."""
    return "".join(each if each.isprintable() or each == "\n" else ascii(each)[1:-1] for each in text)


def complain(message: str, remedy: str) -> None:
    """Write an error as one line with its remedy."""
    err.print(f"[bold red]error:[/] {escape(message)}. [bold]Remedy:[/] {escape(remedy)}", soft_wrap=True)
