"""What a consumer knows: the levels and holds it has heard of, and every feature's state that follows.

A scope without a level of its own follows the nearest one above it that has one. Pure: records are applied, `now` is
given, nothing is fetched. inventory-api, flag-service, the command line and integrators all read features through this
one place.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from pydantic import BaseModel, ConfigDict

from .codec import Encoded
from .events import LEVEL_TARGET, AutomaticFeature, HoldSet, LevelState, format_time, hold_key
from .feature import Because, FeatureState, worst
from .level import Level, Version
from .policy import Policy
from .resolver import resolve_unknown
from .scope import lineage
from .topics import Topic

Headers = Iterable[tuple[str, bytes | None]]
ENDS_KEPT = 10_000
ENDS = "ends"
"""Header of a tombstone: time and version of the record that it ends."""


def hold_tombstone(hold: HoldSet) -> Encoded:
    """Write the record that ends a hold, and not a later edit that its writer has not read yet."""
    text = f"{format_time(hold.set_at)} {hold.version}"
    return Encoded(str(Topic.HOLDS), hold.key.encode(), None, ((ENDS, text.encode()),))


def _ended(headers: Headers) -> tuple[datetime, int] | None:
    text = (dict(headers).get(ENDS) or b"").decode(errors="replace")
    at, _, version = text.partition(" ")
    try:
        ended = datetime.fromisoformat(at), int(version)
    except ValueError:
        return None
    return ended if ended[0].tzinfo else None


class Applied(Enum):
    """What a record changed."""

    CHANGED = auto()
    HEARTBEAT = auto()
    OLDER = auto()


@dataclass(frozen=True, slots=True)
class LevelView:
    """A scope's level as a consumer may act on it now; `state` is that of the scope which it follows, if any."""

    scope: str
    level: Level
    name: str
    version: Version
    stale: bool
    state: LevelState

    @property
    def follows(self) -> str | None:
        """The scope above whose level this is; None when it is the scope's own."""
        return None if self.state.scope == self.scope else self.state.scope

    def header(self) -> str:
        """Value of the `Resilience-Level` header (an RFC 9651 item)."""
        follows = f'; follows="{self.follows}"' if self.follows else ""
        return f'{self.name}; version="{self.version}"{follows}{"; stale" if self.stale else ""}'


@dataclass(frozen=True, slots=True)
class FeatureView:
    """A feature's effective state, and the automatic one beside it."""

    key: str
    state: FeatureState
    because: Because
    detail: str
    since: datetime | None
    automatic: FeatureState
    hold: HoldSet | None


class Saved(BaseModel):
    """A view as it is kept on disk."""

    model_config = ConfigDict(frozen=True)

    levels: tuple[LevelState, ...]
    holds: tuple[HoldSet, ...]


class View:
    """Levels by scope and holds by target. Not thread-safe; one event loop owns it."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._levels: dict[str, LevelState] = {}
        self._holds: dict[str, HoldSet] = {}
        self._ended: dict[str, tuple[datetime, int]] = {}

    def apply_level(self, state: LevelState) -> Applied:
        """Take a level state if it is newer than the one held.

        Order is the version's: a newer epoch wins whatever its counter. The same version with a later
        `observed_at` is a heartbeat: its figures are fresher, its level the same.
        """
        held = self._levels.get(state.scope)
        if held is None:
            self._levels[state.scope] = state
            return Applied.CHANGED
        order = (state.version.ordered(), state.observed_at)
        held_order = (held.version.ordered(), held.observed_at)
        if order <= held_order:
            return Applied.OLDER
        self._levels[state.scope] = state
        return Applied.CHANGED if order[0] > held_order[0] else Applied.HEARTBEAT

    def apply_hold(self, hold: HoldSet) -> Applied:
        """Take a hold unless a later one is held on the same target, or it was ended already.

        Its end comes first where it was ended in another region, whose topic is read beside.
        """
        held, order = self._holds.get(hold.key), (hold.set_at, hold.version)
        if held and (held.set_at, held.version) >= order:
            return Applied.OLDER
        if self._ended.get(hold.key, order[:0]) >= order:
            return Applied.OLDER
        self._holds[hold.key] = hold
        return Applied.CHANGED

    def end_hold(self, key: str, headers: Headers = ()) -> Applied:
        """Forget the hold of a key, as its tombstone says; one that was edited since stays."""
        held, ended = self._holds.get(key), _ended(headers)
        if ended is not None:
            self._remember(key, ended)
        if held is None or (ended is not None and (held.set_at, held.version) > ended):
            return Applied.OLDER
        del self._holds[key]
        return Applied.CHANGED

    def take_ends(self, other: View) -> None:
        """Remember which holds another view knows to have ended."""
        for key, ended in other._ended.items():
            self._remember(key, ended)

    def _remember(self, key: str, ended: tuple[datetime, int]) -> None:
        if len(self._ended) >= ENDS_KEPT and key not in self._ended:
            self._ended.pop(next(iter(self._ended)))
        self._ended[key] = max(ended, self._ended.get(key, ended))

    def forget_holds(self) -> None:
        """Forget every hold, before the holds topic is read again from its start."""
        self._holds.clear()
        self._ended.clear()

    def scopes(self) -> list[str]:
        """Return every scope that has a level of its own."""
        return sorted(self._levels)

    def state(self, scope: str) -> LevelState | None:
        """Return what a scope goes by: its own state, else that of the nearest scope above which has one."""
        for place in lineage(scope):
            state = self._levels.get(place)
            if state is not None:
                return state
        return None

    def level(self, scope: str, now: datetime) -> LevelView | None:
        """Return the level of a scope, or of the one that it follows; None when neither was ever heard."""
        state = self.state(scope)
        if state is None:
            return None
        stale = state.stale or now > state.next_heartbeat_by
        version = state.version.ordered()
        return LevelView(scope, state.known_level, state.level, version, stale, state)

    def hold(self, scope: str, target: str, now: datetime) -> HoldSet | None:
        """Return the hold in force on a target: the scope's own, else the nearest above; an expired one is no hold.

        Past a scope with a level of its own, a hold from above only takes away, and one on the level does nothing:
        whoever set it looked at another level.
        """
        own_level = False
        for place in lineage(scope):
            held = self._holds.get(hold_key(place, target))
            if held and held.expires_at > now:
                return held.model_copy(update={"allow_better": False}) if own_level else held
            own_level = own_level or place in self._levels
            if own_level and target == LEVEL_TARGET:
                return None
        return None

    def holds(self, now: datetime) -> list[HoldSet]:
        """Return every hold in force, by key."""
        return [h for _, h in sorted(self._holds.items()) if h.expires_at > now]

    def next_expiry(self, now: datetime) -> datetime | None:
        """Return when the next hold ends by itself."""
        return min((h.expires_at for h in self._holds.values() if h.expires_at > now), default=None)

    def expired(self, now: datetime) -> list[HoldSet]:
        """Return the holds whose time is over but whose tombstone has not come yet."""
        return [h for _, h in sorted(self._holds.items()) if h.expires_at <= now]

    def feature(self, scope: str, key: str, now: datetime) -> FeatureView:
        """Return a feature's state: an operator's hold, else what its level event says, else `unknown`.

        A hold without `allow_better` never gives more than automation does.

        Raises:
            KeyError: neither the level event nor the policy knows such a feature.
        """
        automatic = self._automatic(scope, key)
        hold = self.hold(scope, key, now)
        if hold is None or hold.state is None:
            return _view(key, automatic, None)
        state = hold.state if hold.allow_better else worst(hold.state, automatic.state)
        if state is not hold.state:
            return _view(key, automatic, hold)
        detail = f"held by {hold.actor} until {hold.expires_at:%Y-%m-%d %H:%M:%S} UTC: {hold.reason}"
        return FeatureView(key, state, Because.HOLD, detail, hold.set_at, automatic.state, hold)

    def features(self, scope: str, now: datetime) -> list[FeatureView]:
        """Return every feature of the policy, in its order."""
        return [self.feature(scope, key, now) for key in self.policy.features]

    def _automatic(self, scope: str, key: str) -> AutomaticFeature | _Unheard:
        state = self.state(scope)
        known = state.features.get(key) if state else None
        if known is not None:
            return known
        unheard = resolve_unknown(self.policy.features[key])
        return _Unheard(unheard.state, unheard.because, unheard.detail)

    def save(self) -> Saved:
        """Return everything held, to be kept on disk."""
        return Saved(levels=tuple(self._levels.values()), holds=tuple(self._holds.values()))

    def restore(self, saved: Saved) -> None:
        """Take what was kept on disk, as if it had been heard."""
        for level in saved.levels:
            self.apply_level(level)
        for hold in saved.holds:
            self.apply_hold(hold)


@dataclass(frozen=True, slots=True)
class _Unheard:
    state: FeatureState
    because: Because
    detail: str
    since: datetime | None = None


def _view(key: str, automatic: AutomaticFeature | _Unheard, hold: HoldSet | None) -> FeatureView:
    return FeatureView(
        key,
        automatic.state,
        automatic.because,
        automatic.detail,
        automatic.since,
        automatic.state,
        hold,
    )
