"""The flags: which exist, and what each answers for a scope.

Every feature gives two flags, a boolean named like it and a string `<key>.mode`; the level gives
`system.level` and `system.level.rank`. Pure: a picture in, evaluations out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from resilience_contracts import FeatureState, FeatureView, Policy, PolicyError, format_time

from .picture import Picture

MODE_SUFFIX = ".mode"
LEVEL_FLAG = "system.level"
RANK_FLAG = "system.level.rank"
UNKNOWN_VARIANT = "unknown"
VARIANTS = {state: state.value.lower() for state in FeatureState}

Scalar = bool | int | str


class Reason(StrEnum):
    """Why a flag has its value, in words that every OFREP client knows."""

    STATIC = "STATIC"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A flag's answer; a value of None asks the caller to use its own default."""

    key: str
    value: Scalar | None
    reason: Reason
    variant: str
    metadata: Mapping[str, Scalar] = field(default_factory=dict)


Metadata = dict[str, Scalar]
Rule = Callable[[Picture, Metadata], Evaluation]
"""Answers a flag; given what every flag's metadata says of the level."""


class FlagCatalogue:
    """Every flag of a policy."""

    def __init__(self, policy: Policy) -> None:
        """Name the flags of a policy.

        Raises:
            PolicyError: two features lead to a flag of the same name.
        """
        self._rules: dict[str, Rule] = {}
        for index, key in enumerate(policy.features):
            self._add(key, _boolean(key, index))
            self._add(key + MODE_SUFFIX, _mode(key + MODE_SUFFIX, index))
        self._add(LEVEL_FLAG, _level)
        self._add(RANK_FLAG, _rank)

    def __contains__(self, key: str) -> bool:
        return key in self._rules

    def __len__(self) -> int:
        return len(self._rules)

    def evaluate(self, key: str, picture: Picture) -> Evaluation:
        """Answer one flag.

        Raises:
            KeyError: there is no such flag.
        """
        return self._rules[key](picture, _level_metadata(picture))

    def evaluate_all(self, picture: Picture) -> list[Evaluation]:
        """Answer every flag, in the catalogue's order."""
        of_level = _level_metadata(picture)
        return [rule(picture, of_level) for rule in self._rules.values()]

    def _add(self, key: str, rule: Rule) -> None:
        if key in self._rules:
            raise PolicyError(f"features: two flags would be called {key}")
        self._rules[key] = rule


def _boolean(key: str, index: int) -> Rule:
    def rule(picture: Picture, of_level: Metadata) -> Evaluation:
        feature = picture.features[index]
        return _of_feature(key, feature.state.on, feature, picture, of_level)

    return rule


def _mode(key: str, index: int) -> Rule:
    def rule(picture: Picture, of_level: Metadata) -> Evaluation:
        feature = picture.features[index]
        return _of_feature(key, feature.state.value, feature, picture, of_level)

    return rule


def _of_feature(
    key: str, value: Scalar, feature: FeatureView, picture: Picture, of_level: Metadata
) -> Evaluation:
    metadata = {"because": feature.because.value, "detail": feature.detail, **of_level}
    if feature.hold is not None:
        metadata |= _held(feature.hold.hold_id, feature.hold.expires_at)
    return Evaluation(key, value, _reason(picture), VARIANTS[feature.state], metadata)


def _level(picture: Picture, of_level: Metadata) -> Evaluation:
    return _of_level(LEVEL_FLAG, picture.level.name if picture.level else None, picture, of_level)


def _rank(picture: Picture, of_level: Metadata) -> Evaluation:
    return _of_level(RANK_FLAG, picture.level.state.rank if picture.level else None, picture, of_level)


def _of_level(key: str, value: Scalar | None, picture: Picture, of_level: Metadata) -> Evaluation:
    level = picture.level
    if level is None:
        return Evaluation(
            key, value, _reason(picture), UNKNOWN_VARIANT, {"because": UNKNOWN_VARIANT, **of_level}
        )
    metadata = {"because": level.state.decided_by.value, **of_level}
    if level.state.hold:
        metadata |= _held(level.state.hold.hold_id, level.state.hold.expires_at)
    return Evaluation(key, value, _reason(picture), level.name.lower(), metadata)


def _held(hold_id: str, expires_at: datetime) -> Metadata:
    return {"hold_id": hold_id, "expires_at": format_time(expires_at)}


def _level_metadata(picture: Picture) -> Metadata:
    level = picture.level
    if level is None:
        return {"scope": picture.scope, "stale": True}
    return {
        "scope": picture.scope,
        "level": level.name,
        "level_version": str(level.version),
        "stale": level.stale,
    }


def _reason(picture: Picture) -> Reason:
    known = picture.level is not None and not picture.level.stale
    return Reason.STATIC if known else Reason.UNKNOWN
