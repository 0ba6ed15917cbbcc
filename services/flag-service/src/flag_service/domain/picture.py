"""What a scope looks like now: its level and its features, as one comparable value."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from resilience_contracts import LEVEL_TARGET, FeatureView, HoldSet, LevelView, View


@dataclass(frozen=True, slots=True)
class Picture:
    """A scope's level, its features in the policy's order, and the holds on its level and the retailer's flags."""

    scope: str
    level: LevelView | None
    features: tuple[FeatureView, ...]
    level_hold: HoldSet | None
    flag_holds: tuple[HoldSet, ...] = ()

    @property
    def holds(self) -> tuple[HoldSet, ...]:
        """Return every hold in force in the scope, those from above included."""
        on_features = tuple(feature.hold for feature in self.features if feature.hold)
        return (*([self.level_hold] if self.level_hold else []), *on_features, *self.flag_holds)

    @property
    def own_holds(self) -> tuple[HoldSet, ...]:
        """Return the holds that were set in the scope itself."""
        return tuple(hold for hold in self.holds if hold.scope == self.scope)

    def seen_from(self, scope: str) -> Picture:
        """Return the picture of a scope beneath, which has nothing of its own."""
        return replace(self, scope=scope, level=self.level and replace(self.level, scope=scope))

    def same_effect(self, other: Picture) -> bool:
        """Say whether both mean the same to a caller; fresher figures of a heartbeat do not count."""
        return self._effect() == other._effect()

    def _effect(self) -> tuple[object, ...]:
        level = self.level
        of_level = level and (
            level.name, level.version, level.follows, level.stale, level.state.cause, level.state.decided_by,
            level.state.automatic_level, level.state.hold, level.state.pending,
        )  # fmt: skip
        return of_level, self.features, self.level_hold, self.flag_holds


def draw(view: View, scope: str, now: datetime) -> Picture:
    """Take the picture of a scope at a time; a scope never heard of has no level and `unknown` features."""
    flags = {hold.target for hold in view.holds(now) if hold.target in view.policy.flags}
    on_flags = (view.hold(scope, flag, now) for flag in sorted(flags))
    return Picture(
        scope,
        view.level(scope, now),
        tuple(view.features(scope, now)),
        view.hold(scope, LEVEL_TARGET, now),
        tuple(hold for hold in on_flags if hold),
    )
