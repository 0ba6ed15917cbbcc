"""What each feature may do for a level and a set of DOWN dependencies, worked out once per combination."""

from __future__ import annotations

from functools import lru_cache

from resilience_contracts import FeatureState, Level, Policy, Resolution, resolve

REMEMBERED = 512

Resolutions = dict[str, Resolution]


class FeatureTable:
    """The resolver over all features of a policy."""

    def __init__(self, policy: Policy) -> None:
        self._rules = policy.features
        self._resolved = lru_cache(maxsize=REMEMBERED)(self._resolve)

    def at(self, level: Level, down: frozenset[str]) -> Resolutions:
        """Return every feature's resolution, in the policy's order. Not to be changed by the caller."""
        return self._resolved(level, down)

    def changed(self, before: Resolutions, after: Resolutions) -> dict[str, FeatureState]:
        """Return the new states of the features whose state differs."""
        return {key: new.state for key, new in after.items() if before[key].state is not new.state}

    def _resolve(self, level: Level, down: frozenset[str]) -> Resolutions:
        return {key: resolve(rule, level, down) for key, rule in self._rules.items()}
