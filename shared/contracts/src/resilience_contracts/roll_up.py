"""How the level of a region follows from those beneath it: what the policy declares, and the rule itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, TypeVar

from pydantic import Field

from .events import RollUpRule, Scope
from .scope import is_beneath
from .section import HUNDREDTHS, Points, Section

WHOLE = 100 * HUNDREDTHS
Weight = Annotated[int, Field(ge=0, le=1_000_000)]
R = TypeVar("R", bound=int)


class RollUp(Section):
    """How one scope's level follows from its children.

    Children are the scopes beneath it that have a level, up to the next one that is rolled up itself.
    """

    rule: RollUpRule
    share_percent: Points | None = Field(
        default=None, description="share of the weight that must be at a level or worse for it to count"
    )
    weights: dict[Scope, Weight] = Field(
        default_factory=dict,
        max_length=10_000,
        description="of children; 1 where none is given, and 0 leaves one out",
    )

    def weight(self, child: str) -> int:
        """Return how much a child counts."""
        return self.weights.get(child, 1)

    @property
    def needed(self) -> int:
        """The share that must be at a rank or worse, in hundredths of a percent; `worst` needs any at all."""
        return int(self.share_percent or 0)


def rolled_up(ranks: Iterable[tuple[R, int]], needed: int) -> R | None:
    """Return the worst rank such that children of so much weight are there or worse.

    Args:
        ranks: rank and weight of each child; those without weight do not count. A higher rank is worse.
        needed: hundredths of a percent; 0 is met by any child at all.

    Returns:
        None where no child has any weight.
    """
    weights: dict[R, int] = {}
    for rank, weight in ranks:
        if weight:
            weights[rank] = weights.get(rank, 0) + weight
    total, reached = sum(weights.values()), 0
    for rank in sorted(weights, reverse=True):
        reached += weights[rank]
        if reached * WHOLE >= needed * total:
            return rank
    return None


def roll_up_faults(roll_ups: Mapping[str, RollUp]) -> Iterator[str]:
    """Return each rule that a policy's roll-ups break, with its key."""
    for scope, roll_up in roll_ups.items():
        key = f"roll_ups.{scope}"
        if roll_up.rule is RollUpRule.WORST:
            if "share_percent" in roll_up.model_fields_set:
                yield f"{key}.share_percent: only weighted_share goes by it"
        elif not roll_up.share_percent:
            yield f"{key}.share_percent: weighted_share needs it, above 0"
        for child, weight in roll_up.weights.items():
            if not is_beneath(child, scope):
                yield f"{key}.weights.{child}: it is not beneath {scope}"
            elif weight and roll_up.rule is RollUpRule.WORST:
                yield f"{key}.weights.{child}: for worst a child counts or has weight 0"
