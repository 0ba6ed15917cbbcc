"""Leave to make one call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .era import Era


@dataclass(slots=True, eq=False)
class Permit:
    """Leave to make one call. Report it once with `succeeded`, `failed` or `released` of its breaker."""

    era: Era
    started_s: float
    spent: bool = False
