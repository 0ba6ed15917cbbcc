"""Everything the engine remembers of one scope, and its stored form."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic import TypeAdapter, ValidationError

from resilience_contracts import DecidedBy, HoldSet, Level, Version

from .damping import Damper
from .dependency import Track
from .instant import to_ms
from .refusal import StateUnreadable

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Hold:
    """An operator's hold on the level."""

    hold_id: str
    version: int
    level: Level
    reason: str
    actor: str
    set_ms: int
    expires_ms: int
    allow_better: bool

    def effective(self, automatic: Level) -> Level:
        """Return the level under this hold: better than automatic only where that was allowed."""
        return self.level if self.allow_better else max(self.level, automatic)


@dataclass(slots=True)
class ScopeState:
    """One scope. Times are milliseconds since 1970.

    Attributes:
        clock_ms: the scope's own time, which only grows.
        born_ms: when it was first heard of, or taken over without a state.
        heard_ms: when a monitor last reported anything of it.
        awake_ms: when monitors began to report after they had all been silent.
        since_ms: since when it has its effective level.
    """

    name: str
    epoch: int
    counter: int
    clock_ms: int
    born_ms: int
    heard_ms: int
    awake_ms: int
    since_ms: int
    automatic: Level = Level.OPTIMAL
    effective: Level = Level.OPTIMAL
    previous: Level | None = None
    decided_by: DecidedBy = DecidedBy.SCORE
    score: int = 0
    silent: bool = False
    pending: Level | None = None
    worse_since_ms: int | None = None
    better_since_ms: int | None = None
    damper: Damper = field(default_factory=Damper)
    hold: Hold | None = None
    tracks: dict[str, Track] = field(default_factory=dict)
    features_since_ms: dict[str, int] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    @property
    def version(self) -> Version:
        """The version of what was published last."""
        return Version(self.epoch, self.counter)


_ADAPTER = TypeAdapter(ScopeState)


def dump(state: ScopeState) -> bytes:
    """Write a scope as JSON: equal states give equal bytes."""
    return _ADAPTER.dump_json(state)


def load(text: bytes) -> ScopeState:
    """Read a scope back.

    Raises:
        StateUnreadable: not JSON, or not of this schema version.
    """
    try:
        state = _ADAPTER.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise StateUnreadable(f"{'.'.join(str(step) for step in first['loc'])}: {first['msg']}") from error
    if state.schema_version != SCHEMA_VERSION:
        raise StateUnreadable(f"schema version {state.schema_version}; {SCHEMA_VERSION} is read")
    return state


def hold_of(event: HoldSet) -> Hold | None:
    """Return the hold on the level that an event sets; None when it is on a feature."""
    if event.level is None:
        return None
    return Hold(
        hold_id=event.hold_id,
        version=event.version,
        level=Level[event.level],
        reason=event.reason,
        actor=event.actor,
        set_ms=to_ms(event.set_at),
        expires_ms=to_ms(event.expires_at),
        allow_better=event.allow_better,
    )
