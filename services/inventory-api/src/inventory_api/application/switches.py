"""What may be done now: the level feed's view, asked per action."""

from __future__ import annotations

from random import Random

from inventory_api.domain.gate import GATES, Action, Behaviour
from resilience_contracts import Because, FeatureState, FeatureView, Health, LevelView, View, retry_after_s
from resilience_runtime import Clock

from .errors import FeatureRefusedError, Refusal, UnavailableError


class Switches:
    """One scope's level and features, for whoever is about to act."""

    def __init__(self, view: View, scope: str, clock: Clock, rng: Random) -> None:
        self.view = view
        self.scope = scope
        self._clock = clock
        self._rng = rng

    def header(self) -> str:
        """Return the value of the `Resilience-Level` header; `UNKNOWN` before any level is known."""
        level = self.level()
        return level.header() if level else "UNKNOWN"

    def level(self) -> LevelView | None:
        """Return the level, or None when none was ever heard."""
        return self.view.level(self.scope, self._clock.now())

    def features(self) -> list[FeatureView]:
        """Return the state of every feature."""
        return self.view.features(self.scope, self._clock.now())

    def named(self, feature: str) -> FeatureView:
        """Return the state of a feature."""
        return self.view.feature(self.scope, feature, self._clock.now())

    def feature(self, action: Action) -> FeatureView:
        """Return the state of the feature that guards an action."""
        return self.view.feature(self.scope, GATES[action].feature, self._clock.now())

    def behaviour(self, action: Action) -> Behaviour:
        """Return how to answer now."""
        return GATES[action].behaviour(self.feature(action).state)

    def admit(self, action: Action) -> Behaviour:
        """Return how to answer now, if at all.

        Raises:
            FeatureRefusedError: not at all.
        """
        behaviour = self.behaviour(action)
        if behaviour is Behaviour.REFUSE:
            raise self.refusal(action)
        return behaviour

    def down(self, dependency: str) -> bool:
        """Say whether the level feed knows a dependency to be DOWN."""
        level = self.level()
        state = level.state.dependencies.get(dependency) if level else None
        return state is not None and state.health is Health.DOWN

    def refusal(self, action: Action) -> FeatureRefusedError:
        """Return the error that says why an action is refused, by the feature's state."""
        seen = self.feature(action)
        refusal = Refusal(seen.key, seen.state, seen.because, seen.detail, seen.since, self.retry_after_s())
        return FeatureRefusedError(refusal)

    def failure(self, action: Action, error: UnavailableError) -> FeatureRefusedError:
        """Return the error for a feature that is on, but whose dependency has just failed."""
        seen = self.feature(action)
        wait_s = max(1, round(error.retry_after_s)) if error.retry_after_s else self.retry_after_s()
        state = FeatureState.DISABLED if seen.state is FeatureState.ENABLED else seen.state
        refusal = Refusal(seen.key, state, Because.DEPENDENCY, str(error), seen.since, min(wait_s, 300))
        return FeatureRefusedError(refusal)

    def retry_after_s(self) -> int:
        """Draw the seconds that a refused caller should wait, from the predicted recovery."""
        level = self.level()
        return retry_after_s(level.state.recovery if level else None, self._rng)
