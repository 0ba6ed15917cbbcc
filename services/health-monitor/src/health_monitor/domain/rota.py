"""Which probe of a dependency does the full, costly thing."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Rota:
    """The first of every `every` probes is a full one, and so is each one after a miss until one succeeds.

    Without the second rule a cheap call that still works would hide that the costly one fails.
    """

    every: int = 6
    turn: int = 0

    @property
    def full(self) -> bool:
        """Whether the next probe does the full thing."""
        return self.turn == 0

    def after(self, *, hit: bool) -> Rota:
        """Return the rota after a probe."""
        return replace(self, turn=(self.turn + 1) % self.every if hit else 0)
