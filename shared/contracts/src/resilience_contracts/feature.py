"""States of a feature and the reasons for them."""

from __future__ import annotations

from enum import StrEnum


class FeatureState(StrEnum):
    """What a feature may do now."""

    ENABLED = "ENABLED"
    FALLBACK = "FALLBACK"
    DISABLED = "DISABLED"

    @property
    def rank(self) -> int:
        """0 for ENABLED, 1 for FALLBACK, 2 for DISABLED: a higher rank allows less."""
        return _RANK[self]

    @property
    def on(self) -> bool:
        """Whether the feature answers at all: FALLBACK is on, in a reduced way."""
        return self is not FeatureState.DISABLED


_RANK = {FeatureState.ENABLED: 0, FeatureState.FALLBACK: 1, FeatureState.DISABLED: 2}


def worst(*states: FeatureState) -> FeatureState:
    """Return the state that allows least."""
    return max(states, key=lambda state: state.rank)


class Because(StrEnum):
    """What decided a feature's state."""

    LEVEL = "level"
    DEPENDENCY = "dependency"
    HOLD = "hold"
    UNKNOWN = "unknown"
