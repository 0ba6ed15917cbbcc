"""Holds: what an operator may ask for, and the record that follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from resilience_contracts import LEVEL_TARGET, FeatureState, HoldSet, Level, format_time

from .audit import Action

DEFAULT_DURATION = timedelta(hours=1)
MAX_DURATION = timedelta(hours=24)


class HoldError(Exception):
    """The hold was refused."""

    code = "hold_refused"


class HoldInvalidError(HoldError):
    """The hold says something that cannot be."""

    code = "hold_invalid"


class HoldConflictError(HoldError):
    """Somebody else changed the hold since it was read."""

    code = "hold_conflict"

    def __init__(self, current: HoldSet | None, difference: dict[str, dict[str, str | None]]) -> None:
        super().__init__("the hold is not the one you read; look at the difference and try again")
        self.current = current
        self.difference = difference


@dataclass(frozen=True, slots=True)
class Draft:
    """What an operator asks for; without a time it ends after the default duration."""

    scope: str
    target: str
    reason: str
    state: FeatureState | None = None
    level: Level | None = None
    expires_at: datetime | None = None
    allow_better: bool = False


def plan(draft: Draft, held: HoldSet | None, actor: str, now: datetime, new_id: str) -> HoldSet:
    """Turn a draft into the record to store.

    `held` is the last record of the same target, expired ones included: a hold in force is edited and keeps
    its id, and the new record is ordered after the old one even when clocks differ between writers.

    Raises:
        HoldInvalidError: a state for the level, a level for a feature, an end in the past or too far away.
    """
    check(draft, now)
    set_at = max(now, held.set_at) if held else now
    expires_at = draft.expires_at or now + DEFAULT_DURATION
    in_force = held is not None and held.expires_at > now
    return HoldSet(
        scope=draft.scope,
        target=draft.target,
        hold_id=held.hold_id if held and in_force else new_id,
        version=held.version + 1 if held else 1,
        state=draft.state,
        level=draft.level.name if draft.level is not None else None,
        reason=draft.reason,
        actor=actor,
        set_at=set_at,
        expires_at=max(expires_at, set_at + timedelta(milliseconds=1)),
        allow_better=draft.allow_better,
    )


def check(draft: Draft, now: datetime) -> None:
    """Refuse a draft that cannot be.

    Raises:
        HoldInvalidError: a state for the level, a level for a feature, an end in the past or too far away.
    """
    on_level = draft.target == LEVEL_TARGET
    if on_level and (draft.level is None or draft.state is not None):
        raise HoldInvalidError("a hold on `level` names a level and no state")
    if not on_level and (draft.state is None or draft.level is not None):
        raise HoldInvalidError("a hold on a feature names a state and no level")
    if draft.expires_at is None:
        return
    if draft.expires_at <= now:
        raise HoldInvalidError("expires_at must be in the future")
    if draft.expires_at > now + MAX_DURATION:
        raise HoldInvalidError(f"a hold lasts at most {MAX_DURATION.total_seconds() / 3600:g} hours")


def action(before: HoldSet | None, after: HoldSet) -> Action:
    """Name what a change does: a hold that only ends later or earlier is extended."""
    if before is None:
        return Action.SET
    moved = before.model_copy(update={"expires_at": after.expires_at})
    same = difference(moved, after).keys() <= {"reason", "actor"}
    return Action.EXTEND if same and after.expires_at > before.expires_at else Action.CHANGE


def tag(hold: HoldSet) -> str:
    """Return the strong entity tag of a hold: it names the hold too, so a later one never matches."""
    return f'"{hold.hold_id}.{hold.version}"'


def difference(current: HoldSet | None, proposed: HoldSet) -> dict[str, dict[str, str | None]]:
    """Return each field in which two holds differ, with both values as text."""
    old = _shown(current) if current else {}
    new = _shown(proposed)
    return {
        name: {"current": old.get(name), "proposed": new[name]} for name in new if old.get(name) != new[name]
    }


def _shown(hold: HoldSet) -> dict[str, str | None]:
    return {
        "state": hold.state.value if hold.state else None,
        "level": hold.level,
        "reason": hold.reason,
        "actor": hold.actor,
        "expires_at": format_time(hold.expires_at),
        "allow_better": str(hold.allow_better).lower(),
    }
