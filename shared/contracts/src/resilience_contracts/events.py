"""The events: what each topic's records say.

Every model is frozen, ignores fields it does not know (readers are open) and refuses wrong types, infinite
numbers and times without a zone. Times are UTC; scores are 0 to 100; names end in their unit.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    model_validator,
)

from .feature import Because, FeatureState
from .health import BreakerState, Health, Outcome
from .level import DecidedBy, Level, Version
from .topics import Topic


def format_time(time: datetime) -> str:
    """Write a time as RFC 3339 in UTC with milliseconds."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _to_milliseconds(time: datetime) -> datetime:
    if time.tzinfo is UTC and not time.microsecond % 1000:
        return (
            time  # as our own code makes them: an eighth of the work, and a level has some twenty-seven times
        )
    try:
        utc = time.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("the time lies outside the years 1 to 9999 in UTC") from error
    return utc.replace(microsecond=utc.microsecond // 1000 * 1000)


SCOPE_PATTERN = r"^[a-z0-9][a-z0-9-]*(\.[a-z0-9][a-z0-9-]*)*$"
FEATURE_PATTERN = r"^[a-z0-9][a-z0-9._-]*$"
LEVEL_TARGET = "level"
RECENT_LIMIT = 12

Scope = Annotated[str, Field(pattern=SCOPE_PATTERN, max_length=100)]
DependencyName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$", max_length=40)]
FeatureKey = Annotated[str, Field(pattern=FEATURE_PATTERN, max_length=100)]
Actor = Annotated[str, Field(min_length=1, max_length=120)]
Observer = Annotated[str, Field(min_length=1, max_length=120)]
Reason = Annotated[str, Field(min_length=10, max_length=500)]
Sentence = Annotated[str, Field(max_length=1000)]
Score = Annotated[float, Field(ge=0, le=100)]
Time = Annotated[
    AwareDatetime,
    AfterValidator(_to_milliseconds),
    PlainSerializer(format_time, return_type=str, when_used="json"),
]
LevelName = Annotated[str, Field(pattern=r"^[A-Z][A-Z_]*$", max_length=40)]


class Part(BaseModel):
    """A value inside an event."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Event(Part):
    """One record of one topic.

    `type` and `topic` say which; `event_id`, `subject`, `key` and `time` become attributes of the CloudEvent.
    """

    type: ClassVar[str]
    topic: ClassVar[Topic]

    @property
    def event_id(self) -> str:
        """Identity: a duplicate has the same one."""
        raise TypeError(type(self))

    @property
    def key(self) -> str:
        """Kafka key: records of one key stay in order."""
        raise TypeError(type(self))

    @property
    def subject(self) -> str:
        """What the event is about."""
        return self.key

    @property
    def time(self) -> datetime:
        """When it happened."""
        raise TypeError(type(self))


class Observation(Part):
    """One probe's result."""

    outcome: Outcome
    latency_ms: float = Field(ge=0, le=600_000)
    at: Time


class ProbeReport(Part):
    """What a monitor saw last, oldest first: whole, so that a lost or doubled event heals with the next."""

    recent: tuple[Observation, ...] = Field(min_length=1, max_length=RECENT_LIMIT)
    interval_s: float = Field(gt=0, le=3600)
    retry_after_s: float | None = Field(default=None, ge=0, le=86_400)


class BreakerReport(Part):
    """What real traffic meets, as the circuit breaker of one replica sees it.

    Rates are 0 to 1, and null while the window holds too few calls to say.
    """

    state: BreakerState
    failure_rate: float | None = Field(default=None, ge=0, le=1)
    slow_rate: float | None = Field(default=None, ge=0, le=1)
    interval_s: float = Field(gt=0, le=3600)


class HealthObserved(Event):
    """One observer's view of one dependency: a probe report or a breaker report, never both."""

    type: ClassVar[str] = "retail.resilience.health.observed.v1"
    topic: ClassVar[Topic] = Topic.HEALTH

    scope: Scope
    dependency: DependencyName
    observer: Observer
    boot: str = Field(min_length=1, max_length=40, description="changes when the observer restarts")
    sequence: int = Field(ge=0, le=2**53, description="grows with each event of one boot")
    observed_at: Time
    probe: ProbeReport | None = None
    breaker: BreakerReport | None = None

    @model_validator(mode="after")
    def _one_report(self) -> HealthObserved:
        if (self.probe is None) == (self.breaker is None):
            raise ValueError("exactly one of probe and breaker is needed")
        return self

    @property
    def event_id(self) -> str:
        return f"{self.observer}/{self.boot}/{self.sequence}"

    @property
    def key(self) -> str:
        return self.scope

    @property
    def subject(self) -> str:
        return f"{self.scope}/{self.dependency}"

    @property
    def time(self) -> datetime:
        return self.observed_at


class VersionPart(Part):
    """A version on the wire."""

    epoch: int = Field(ge=0, le=2**53)
    counter: int = Field(ge=0, le=2**53)

    def ordered(self) -> Version:
        """Return it as the tuple that compares."""
        return Version(self.epoch, self.counter)


class DependencyState(Part):
    """A dependency as the engine judges it."""

    health: Health
    score: Score
    since: Time
    stale: bool = False
    observed_at: Time | None = None
    breakers: dict[str, BreakerState] = Field(default_factory=dict, max_length=1000)
    disagreement: bool = Field(default=False, description="two observers judge it differently")
    warning: Sentence = Field(default="", description="in what it is unusual though it still answers")


class AutomaticFeature(Part):
    """A feature's state by policy, before operators' holds."""

    state: FeatureState
    because: Because
    detail: Sentence
    since: Time


class LevelHold(Part):
    """An operator's hold on the level, as it is in force."""

    hold_id: str = Field(min_length=1, max_length=64)
    level: LevelName
    rank: int = Field(ge=0, le=100)
    reason: Reason
    actor: Actor
    expires_at: Time


class Recovery(Part):
    """When the level is expected to be better: quantiles of what remains, in seconds from `observed_at`."""

    q10_s: float = Field(ge=0)
    q50_s: float = Field(ge=0)
    q90_s: float = Field(ge=0)
    method: str = Field(max_length=60)
    samples: int = Field(ge=0)


class Pending(Part):
    """A change that waits for its dwell time."""

    level: LevelName
    earliest_at: Time
    rule: Sentence


class RollUpRule(StrEnum):
    """How a level follows from those of the scopes beneath."""

    WORST = "worst"
    WEIGHTED_SHARE = "weighted_share"


class RolledUp(Part):
    """That and how a level follows from those of the scopes beneath."""

    rule: RollUpRule
    share_percent: float | None = Field(default=None, gt=0, le=100)
    children: dict[LevelName, int] = Field(description="how many scopes beneath are at each level")


class LevelState(Event):
    """The whole current state of a scope; published on change and repeated with its version unchanged."""

    type: ClassVar[str] = "retail.resilience.level.state.v1"
    topic: ClassVar[Topic] = Topic.LEVELS

    scope: Scope
    version: VersionPart
    level: LevelName
    rank: int = Field(ge=0, le=100)
    previous_level: LevelName | None = None
    automatic_level: LevelName
    hold: LevelHold | None = None
    score: Score
    decided_by: DecidedBy
    cause: Sentence
    dependencies: dict[DependencyName, DependencyState]
    features: dict[FeatureKey, AutomaticFeature]
    recovery: Recovery | None = None
    pending: Pending | None = None
    roll_up: RolledUp | None = Field(
        default=None, description="the level follows from scopes beneath; decided_by is then score or hold"
    )
    stale: bool = False
    policy_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    since: Time
    observed_at: Time
    next_heartbeat_by: Time = Field(description="without a newer record by then, the engine is silent")

    @property
    def known_level(self) -> Level:
        """The level by its rank, whatever its name."""
        return Level.from_rank(self.rank)

    @property
    def event_id(self) -> str:
        return f"{self.scope}/{self.version.ordered()}/{format_time(self.observed_at)}"

    @property
    def key(self) -> str:
        return self.scope

    @property
    def time(self) -> datetime:
        return self.observed_at


class LevelChanged(Event):
    """One real change of a scope's effective level: from, to and why."""

    type: ClassVar[str] = "retail.resilience.level.changed.v1"
    topic: ClassVar[Topic] = Topic.LEVEL_CHANGES

    scope: Scope
    version: VersionPart
    from_level: LevelName
    from_rank: int = Field(ge=0, le=100)
    to_level: LevelName
    to_rank: int = Field(ge=0, le=100)
    decided_by: DecidedBy
    cause: Sentence
    score: Score
    dependencies: dict[DependencyName, Health]
    features: dict[FeatureKey, FeatureState] = Field(description="states that this change altered")
    changed_at: Time

    @property
    def event_id(self) -> str:
        return f"{self.scope}/{self.version.ordered()}"

    @property
    def key(self) -> str:
        return self.scope

    @property
    def time(self) -> datetime:
        return self.changed_at

    def repeats(self, newest: LevelChanged) -> bool:
        """Say whether this is the newest change, heard again or announced again.

        An engine that is killed before it stored a change which it had announced announces it again, in a later
        version. A level that is left twice was entered in between. After a loss of its state (a new epoch) an engine
        begins anew, and its first change counts whatever it is.
        """
        step, before = (self.from_level, self.to_level), (newest.from_level, newest.to_level)
        return step == before and self.version.epoch == newest.version.epoch


class HoldSet(Event):
    """An operator pins a feature's state, or the level of a scope, until it expires; a tombstone ends it."""

    type: ClassVar[str] = "retail.resilience.hold.set.v1"
    topic: ClassVar[Topic] = Topic.HOLDS

    scope: Scope
    target: FeatureKey = Field(description="a feature key, or `level`")
    hold_id: str = Field(min_length=1, max_length=64)
    version: int = Field(ge=1, le=2**53, description="grows with each edit of this hold")
    state: FeatureState | None = None
    level: Literal["OPTIMAL", "DEGRADED", "LIMITED", "MINIMAL", "EMERGENCY"] | None = None
    reason: Reason
    actor: Actor
    set_at: Time
    expires_at: Time
    allow_better: bool = False

    @model_validator(mode="after")
    def _state_or_level(self) -> HoldSet:
        on_level = self.target == LEVEL_TARGET
        if on_level != (self.level is not None) or on_level == (self.state is not None):
            raise ValueError("a hold on `level` names a level, a hold on a feature names a state")
        if self.expires_at <= self.set_at:
            raise ValueError("expires_at must be after set_at")
        return self

    @property
    def event_id(self) -> str:
        return f"{self.hold_id}/{self.version}"

    @property
    def key(self) -> str:
        return hold_key(self.scope, self.target)

    @property
    def time(self) -> datetime:
        return self.set_at


def hold_key(scope: str, target: str) -> str:
    """Key of a hold's records, its tombstone included."""
    return f"{scope}/{target}"


class AuditRecorded(Event):
    """Who did what and why; `previous_hash` chains the entries of one writer."""

    type: ClassVar[str] = "retail.resilience.audit.recorded.v1"
    topic: ClassVar[Topic] = Topic.AUDIT

    scope: Scope
    writer: str = Field(min_length=1, max_length=120)
    sequence: int = Field(ge=0, le=2**53)
    action: str = Field(pattern=r"^[a-z]+\.[a-z_]+$", max_length=60)
    target: str = Field(max_length=200)
    before: dict[str, str | int | bool | None] | None = None
    after: dict[str, str | int | bool | None] | None = None
    actor: Actor
    reason: str = Field(max_length=500)
    correlation_id: str = Field(max_length=64)
    recorded_at: Time
    previous_hash: str = Field(pattern=r"^[0-9a-f]{64}$")
    hash: str = Field(pattern=r"^[0-9a-f]{64}$")

    @property
    def event_id(self) -> str:
        return f"{self.writer}/{self.sequence}"

    @property
    def key(self) -> str:
        return self.scope

    @property
    def time(self) -> datetime:
        return self.recorded_at


class AdjustmentCommand(Event):
    """A stock adjustment accepted while PostgreSQL is away; applied once, in order, after it is back."""

    type: ClassVar[str] = "retail.inventory.adjustment.accepted.v1"
    topic: ClassVar[Topic] = Topic.COMMANDS

    command_id: str = Field(min_length=1, max_length=64)
    idempotency_key: str = Field(min_length=1, max_length=255)
    request_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    sku: str = Field(min_length=1, max_length=120)
    location: str = Field(min_length=1, max_length=60)
    delta: int = Field(ge=-(10**9), le=10**9)
    reason: str = Field(min_length=1, max_length=40)
    reference: str | None = Field(default=None, max_length=120)
    actor: Actor
    occurred_at: Time
    accepted_at: Time

    @property
    def event_id(self) -> str:
        return self.command_id

    @property
    def key(self) -> str:
        return self.sku

    @property
    def time(self) -> datetime:
        return self.accepted_at
