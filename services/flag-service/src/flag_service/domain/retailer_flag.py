"""One flag of the retailer's own: hold, prerequisites, level and dependencies, targets, default, in this order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from resilience_contracts import FeatureState, FlagRule, Health, HoldSet, LevelView

from .evaluation import Context, Reason
from .picture import Picture
from .targeting import Choice, Targeting

Variant = Callable[[str], str]
"""Returns the variant that another flag has for the same caller."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a picture says that is not of the caller."""

    level: LevelView | None
    down: frozenset[str]
    holds: Mapping[str, HoldSet]

    @classmethod
    def of(cls, picture: Picture) -> Surroundings:
        """Take what matters from a picture."""
        seen = picture.level.state.dependencies if picture.level else {}
        down = frozenset(name for name, dependency in seen.items() if dependency.health is Health.DOWN)
        return cls(picture.level, down, {hold.target: hold for hold in picture.flag_holds})


@dataclass(frozen=True, slots=True)
class Stand:
    """How a flag stands in one picture, whoever asks.

    Attributes:
        taken: what a hold, the level or a dependency takes it to.
        needs_others: whether prerequisites count, and come first.
    """

    taken: Choice | None
    needs_others: bool


class RetailerFlag:
    """A flag, ready to be asked."""

    def __init__(self, key: str, rule: FlagRule) -> None:
        self.key = key
        self.prerequisites = rule.prerequisites
        self.values = rule.values
        self._rule = rule
        self.targeting = Targeting(key, rule)
        self._wanted = {other: frozenset(variants) for other, variants in rule.prerequisites.items()}
        self._lacking: dict[tuple[str, str], Choice] = {}

    @property
    def contextual(self) -> bool:
        """Whether the flag itself asks for the caller's attributes."""
        return self.targeting.contextual

    def stand(self, around: Surroundings) -> Stand:
        """Return how the flag stands for every caller."""
        hold = around.holds.get(self.key)
        if hold is not None and hold.state is FeatureState.DISABLED:
            return Stand(self._off(Reason.STATIC, "hold", _held(hold)), needs_others=False)
        if hold is not None and hold.allow_better:
            return Stand(None, needs_others=False)
        return Stand(self._by_level(around), needs_others=bool(self._wanted))

    def choose(self, context: Context, stand: Stand, variant: Variant) -> Choice:
        """Return the variant of a flag that needs others, and why.

        Raises:
            TargetingKeyMissingError: a percentage does not know whom it is asked for.
        """
        return self._unmet(variant) or stand.taken or self.targeting.choose(context)

    def automatic(self, around: Surroundings) -> FeatureState:
        """Return what the level and the dependencies alone allow."""
        return FeatureState.DISABLED if self._by_level(around) else FeatureState.ENABLED

    def _unmet(self, variant: Variant) -> Choice | None:
        for other, wanted in self._wanted.items():
            found = variant(other)
            if found not in wanted:
                return self._without(other, found)
        return None

    def _without(self, other: str, found: str) -> Choice:
        # One for each variant of each prerequisite, so that the same answer is the same object.
        if (other, found) not in self._lacking:
            self._lacking[other, found] = self._off(Reason.STATIC, "prerequisite", f"{other} is {found}")
        return self._lacking[other, found]

    def _by_level(self, around: Surroundings) -> Choice | None:
        missing = self._rule.needs & around.down
        level, worst = around.level, self._rule.up_to
        reason = Reason.UNKNOWN if level is None or level.stale else Reason.STATIC
        if missing:
            return self._off(reason, "dependency", f"{' and '.join(sorted(missing))} DOWN")
        if level is not None and worst is not None and level.level > worst:
            return self._off(reason, "level", f"level {level.name}, served up to {worst.name}")
        return None

    def _off(self, reason: Reason, because: str, detail: str) -> Choice:
        return Choice(self.key, self._rule.off, reason, because, detail)


def _held(hold: HoldSet) -> str:
    return f"held by {hold.actor} until {hold.expires_at:%Y-%m-%d %H:%M:%S} UTC: {hold.reason}"
