"""What the REST API answers and accepts."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from flag_service.domain.holds import DEFAULT_DURATION, MAX_DURATION
from flag_service.domain.picture import Picture
from resilience_contracts import (
    AuditRecorded,
    Because,
    DecidedBy,
    DependencyState,
    FeatureState,
    FeatureView,
    HoldSet,
    Level,
    LevelChanged,
    LevelHold,
    LevelView,
    Pending,
    Recovery,
    RolledUp,
    retry_after_s,
)
from resilience_contracts.events import FEATURE_PATTERN, SCOPE_PATTERN, Time

DEFAULT_DURATION_S = DEFAULT_DURATION.total_seconds()
MAX_DURATION_S = MAX_DURATION.total_seconds()
BLANKS = " \t\r\n"
TRIMMED_PATTERN = r"^[ \t\r\n]*[^ \t\r\n][\s\S]{8,}[^ \t\r\n][ \t\r\n]*$"
"""Ten characters at least, not counting blanks at either end."""


class _Out(BaseModel):
    model_config = ConfigDict(frozen=True)


class HoldOut(_Out):
    """A hold in force."""

    scope: str
    target: str
    hold_id: str
    version: int
    state: FeatureState | None
    level: str | None
    reason: str
    actor: str
    set_at: Time
    expires_at: Time
    allow_better: bool

    @classmethod
    def of(cls, hold: HoldSet) -> Self:
        """Show a hold."""
        return cls(**{name: getattr(hold, name) for name in cls.model_fields})


class FeatureOut(_Out):
    """A feature's effective state, why, and what automation alone would give."""

    key: str
    state: FeatureState
    because: Because
    detail: str
    since: Time | None
    automatic: FeatureState
    hold: HoldOut | None
    retry_after_s: int | None = Field(description="when to ask again; null while the feature is ENABLED")

    @classmethod
    def of(cls, feature: FeatureView, level: LevelView | None) -> Self:
        """Show a feature."""
        return cls(
            key=feature.key,
            state=feature.state,
            because=feature.because,
            detail=feature.detail,
            since=feature.since,
            automatic=feature.automatic,
            hold=HoldOut.of(feature.hold) if feature.hold else None,
            retry_after_s=_retry_after_s(feature, level),
        )


def _retry_after_s(feature: FeatureView, level: LevelView | None) -> int | None:
    if feature.state is FeatureState.ENABLED:
        return None
    # Seeded by what is shown, so that replicas give the same bytes for the same state.
    seed = f"{feature.key} {level.version if level else ''}"
    return retry_after_s(level.state.recovery if level else None, Random(seed))  # noqa: S311 - spreads callers


class LevelOut(_Out):
    """The level of a scope."""

    scope: str
    follows: str | None = Field(description="the scope above whose level this is; null where it is its own")
    level: str
    rank: int
    version: str = Field(description="`epoch.counter`; a change has a newer one")
    since: Time
    previous_level: str | None
    automatic_level: str
    hold: LevelHold | None
    score: float
    decided_by: DecidedBy
    cause: str
    stale: bool = Field(description="the engine is silent or does not trust its data; the last level stands")
    dependencies: dict[str, DependencyState]
    recovery: Recovery | None
    pending: Pending | None
    roll_up: RolledUp | None = Field(description="the level follows from the scopes beneath")
    policy_sha256: str
    observed_at: Time
    next_heartbeat_by: Time

    @classmethod
    def of(cls, level: LevelView) -> Self:
        """Show a level."""
        ours = {
            "scope": level.scope,
            "follows": level.follows,
            "version": str(level.version),
            "stale": level.stale,
        }
        others = {name: getattr(level.state, name) for name in cls.model_fields if name not in ours}
        return cls(**ours, **others)


class LevelsOut(_Out):
    """Every scope of which a level is known."""

    levels: list[LevelOut]


class FeaturesOut(_Out):
    """Every feature of a scope."""

    scope: str
    follows: str | None = Field(description="the scope above whose level this is; null where it is its own")
    level: str | None
    level_version: str | None
    stale: bool
    features: list[FeatureOut]

    @classmethod
    def of(cls, picture: Picture) -> Self:
        """Show the features of a picture."""
        level = picture.level
        return cls(
            scope=picture.scope,
            follows=level.follows if level else None,
            level=level.name if level else None,
            level_version=str(level.version) if level else None,
            stale=level.stale if level else True,
            features=[FeatureOut.of(feature, level) for feature in picture.features],
        )


class ScopeOut(_Out):
    """A scope as the event stream sends it, whole."""

    scope: str
    level: LevelOut | None
    features: list[FeatureOut]
    holds: list[HoldOut]

    @classmethod
    def of(cls, picture: Picture) -> Self:
        """Show a picture."""
        return cls(
            scope=picture.scope,
            level=LevelOut.of(picture.level) if picture.level else None,
            features=[FeatureOut.of(feature, picture.level) for feature in picture.features],
            holds=[HoldOut.of(hold) for hold in picture.holds],
        )


class SnapshotOut(_Out):
    """The first frame of a stream."""

    scopes: list[ScopeOut]

    @classmethod
    def of(cls, pictures: Iterable[Picture]) -> Self:
        """Show pictures."""
        return cls(scopes=[ScopeOut.of(picture) for picture in pictures])


class HeartbeatOut(_Out):
    """Fresher figures of an unchanged level."""

    level: LevelOut


class HistoryOut(_Out):
    """The last level changes of a scope, newest first."""

    scope: str
    changes: list[LevelChanged]


class HoldsOut(_Out):
    """Every hold in force."""

    holds: list[HoldOut]


class EffectOut(_Out):
    """A feature that a hold would change."""

    key: str
    before: FeatureState
    after: FeatureState


class PreviewOut(_Out):
    """What a hold would change, and how many would hear of it at once."""

    effects: list[EffectOut]
    streams: int = Field(description="event streams that are open on this replica")


class AuditOut(_Out):
    """Audit entries, newest first; `faults` names entries that the hash chain shows to be wrong."""

    entries: list[AuditRecorded]
    next: str | None = Field(description="give it as `before` to go on")
    faults: list[str]


class AimIn(BaseModel):
    """What something is to be held at."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    state: FeatureState | None = Field(default=None, description="for a feature")
    level: Annotated[str, Field(pattern=f"^({'|'.join(Level.__members__)})$")] | None = Field(
        default=None, description="for the target `level`"
    )
    allow_better: bool = Field(default=False, description="let the hold be better than automation")


class PreviewIn(AimIn):
    """A hold that nobody set yet."""

    scope: Annotated[str, Field(pattern=SCOPE_PATTERN, max_length=100)]
    target: Annotated[str, Field(pattern=FEATURE_PATTERN, max_length=100)]


def _trimmed(text: object) -> object:
    return text.strip(BLANKS) if isinstance(text, str) else text


class HoldIn(AimIn):
    """What an operator asks for."""

    reason: Annotated[
        str,
        BeforeValidator(_trimmed),
        Field(min_length=10, max_length=500),
        WithJsonSchema({"type": "string", "maxLength": 500, "pattern": TRIMMED_PATTERN}),
    ]
    expires_in_s: float | None = Field(default=None, gt=0, le=MAX_DURATION_S, description="default: one hour")
    expires_at: Time | None = Field(default=None, description="instead of expires_in_s")
