"""What degradation-policy.md says must be seen, computed from the policy alone."""

from __future__ import annotations

from dataclasses import dataclass

from resilience_contracts import FeatureState, Level, Policy, resolve


@dataclass(frozen=True, slots=True)
class Outage:
    """Dependencies that are really taken away, and the level that must follow."""

    down: frozenset[str]
    level: Level

    def __str__(self) -> str:
        return self.name

    @property
    def name(self) -> str:
        return "+".join(sorted(self.down))

    def features(self, policy: Policy) -> dict[str, FeatureState]:
        return {key: resolve(rule, self.level, self.down).state for key, rule in policy.features.items()}


OUTAGES = (
    Outage(frozenset({"openai"}), Level.LIMITED),
    Outage(frozenset({"postgresql"}), Level.MINIMAL),
    Outage(frozenset({"redis"}), Level.DEGRADED),
    Outage(frozenset({"s3"}), Level.DEGRADED),
    Outage(frozenset({"postgresql", "redis"}), Level.EMERGENCY),
)
