"""Cells that a spreadsheet would run as a formula, made harmless on the way out and restored on the way in.

After OWASP, "CSV Injection": an apostrophe in front makes a cell text. One more is added before cells that have one
already, so that export and import give back exactly what there was.
"""

from __future__ import annotations

import re

_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_NEUTRAL = re.compile(r"'+[=+\-@\t\r]")


def neutralise(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{text}" if _FORMULA.match(text) else text


def restore(cell: str) -> str:
    """Return the text that `neutralise` was given."""
    return cell[1:] if _NEUTRAL.match(cell) else cell
