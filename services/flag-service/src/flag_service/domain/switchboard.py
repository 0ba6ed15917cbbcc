"""The switchboard: records in, pictures of every scope out, and word of each that changed.

While a topic is being read from its start, records go to a view of their own: callers keep what was known
before, and never see an older state after a newer one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from resilience_contracts import (
    Applied,
    HoldSet,
    LevelState,
    Policy,
    Saved,
    View,
    hold_key,
    is_beneath,
    lineage,
)
from resilience_contracts.view import Headers

from .picture import Picture, draw

AFTER = timedelta(milliseconds=1)
LEFT_AFTER = timedelta(seconds=5)
FOLLOWERS_KEPT = 1_000
"""Scopes with nothing of their own whose pictures are kept; beyond, they are made anew."""

Told = Callable[[Picture], None]


class Switchboard:
    """The state of the service. Not thread-safe; one event loop owns it.

    `on_effect` hears of each picture that means something new to callers, `on_heartbeat` of one that only has
    fresher figures. Both are called after the picture is in place.

    A scope has a picture of its own once it has a level or a hold of its own. Any other one beneath looks as the
    nearest above that has one, under its own name.
    """

    def __init__(self, policy: Policy, home_scope: str, on_effect: Told, on_heartbeat: Told) -> None:
        self.policy = policy
        self.home_scope = home_scope
        self.revision = 0
        self.caught_up = False
        self.restored = False
        self._on_effect = on_effect
        self._on_heartbeat = on_heartbeat
        self._view = View(policy)
        self._reading = View(policy)
        self._pictures: dict[str, Picture] = {}
        self._followers: set[str] = set()
        self._beneath: dict[str, tuple[Picture, Picture]] = {}
        self._deadline: datetime | None = None
        self._writers: dict[str, str] = {}
        self._ended: dict[str, HoldSet] = {}

    def start(self, now: datetime, saved: Saved | None) -> None:
        """Begin with what was kept on disk, if anything was."""
        if saved is not None:
            self._view.restore(saved)
            self.restored = True
        self._settle(self._scopes(now), now)

    def begin_reading(self) -> None:
        """Prepare for the topics to be read again from their start."""
        self.caught_up = False
        self._reading = View(self.policy)

    def finish_reading(self, now: datetime) -> None:
        """Take over what was read: newer levels, and exactly the holds that the topic has."""
        if self.caught_up:
            return
        self.caught_up = True
        self._view.forget_holds()
        self._view.take_ends(self._reading)
        self._view.restore(self._reading.save())
        self._settle(self._scopes(now), now)

    def apply_level(self, state: LevelState, now: datetime) -> Applied:
        """Take a level state."""
        if not self.caught_up:
            return self._reading.apply_level(state)
        applied = self._view.apply_level(state)
        if applied is not Applied.OLDER:
            followers = (scope for scope in self._followers if is_beneath(scope, state.scope))
            self._settle((state.scope, *followers), now)
        return applied

    def apply_hold(self, hold: HoldSet, now: datetime, writer: str) -> Applied:
        """Take a hold, and remember who wrote it."""
        self._writers[hold.key] = writer
        if not self.caught_up:
            return self._reading.apply_hold(hold)
        applied = self._view.apply_hold(hold)
        self._settle(self._affected(hold.scope), now)
        return applied

    def end_hold(self, key: str, headers: Headers, now: datetime) -> Applied:
        """Take the tombstone of a hold, with its headers; one that was edited since stays."""
        if not self.caught_up:
            return self._reading.end_hold(key, headers)
        record = self._record(key, now)
        applied = self._view.end_hold(key, headers)
        if record is not None:
            self._ended[key] = record
        if applied is not Applied.OLDER:
            self._writers.pop(key, None)
        self._settle(self._affected(key.partition("/")[0]), now)
        return applied

    def advance(self, now: datetime) -> None:
        """Let holds expire and silent levels go stale, if one is due."""
        if self._deadline is not None and now >= self._deadline:
            self._settle(self._scopes(now), now)

    @property
    def next_deadline(self) -> datetime | None:
        """When something changes by the passing of time alone."""
        return self._deadline

    def picture(self, scope: str, now: datetime) -> Picture:
        """Return a scope as it is now."""
        self.advance(now)
        return self._pictures.get(scope) or self._from_above(scope) or draw(self._view, scope, now)

    def pictures(self, now: datetime) -> list[Picture]:
        """Return every scope with a picture of its own, and the service's own scope in any case."""
        self.advance(now)
        return [self._pictures[scope] for scope in sorted(self._pictures)]

    def knows(self, scope: str) -> bool:
        """Say whether a scope is one that the service may hold something in."""
        return scope in self._pictures or self._from_above(scope) is not None

    def told_as(self, scope: str) -> str:
        """Return under which name changes of a scope are told: the nearest, upwards, with a picture of its own."""
        return next((place for place in lineage(scope) if place in self._pictures), scope)

    def last_hold(self, scope: str, target: str, now: datetime) -> HoldSet | None:
        """Return the last record of a target, though it may have expired."""
        return self._record(hold_key(scope, target), now)

    def last_ended(self, scope: str, target: str) -> HoldSet | None:
        """Return the record that the last tombstone of a target ended."""
        return self._ended.get(hold_key(scope, target))

    def due(self, now: datetime, writer: str) -> list[HoldSet]:
        """Return the expired holds whose end a writer has to write: its own, and those that others left."""
        expired = self._view.expired(now) if self.caught_up else []
        return [hold for hold in expired if self.wrote(hold, writer) or now > hold.expires_at + LEFT_AFTER]

    def wrote(self, hold: HoldSet, writer: str) -> bool:
        """Say whether a writer stored the last record of a hold's target."""
        return self._writers.get(hold.key) == writer

    def save(self) -> Saved:
        """Return what is worth keeping on disk."""
        return self._view.save()

    def _record(self, key: str, now: datetime) -> HoldSet | None:
        records = [*self._view.holds(now), *self._view.expired(now)]
        return next((hold for hold in records if hold.key == key), None)

    def _scopes(self, now: datetime) -> set[str]:
        held = (hold.scope for hold in self._view.holds(now) if self._view.state(hold.scope))
        return {*self._view.scopes(), *self._pictures, *held, self.home_scope}

    def _affected(self, scope: str) -> Iterable[str]:
        own = (scope,) if self.knows(scope) else ()
        return {*own, *(place for place in self._pictures if is_beneath(place, scope))}

    def _from_above(self, scope: str) -> Picture | None:
        above = self._pictures.get(self.told_as(scope))
        if above is None or above.level is None:
            return None
        kept = self._beneath.get(scope)
        if kept is None or kept[0] is not above:
            if len(self._beneath) >= FOLLOWERS_KEPT:
                self._beneath.clear()
            kept = self._beneath[scope] = above, above.seen_from(scope)
        return kept[1]

    def _settle(self, scopes: Iterable[str], now: datetime) -> None:
        told: list[tuple[Told, Picture]] = []
        for scope in scopes:
            picture, before = draw(self._view, scope, now), self._pictures.get(scope)
            self._pictures[scope] = picture
            if picture.level is None or picture.level.follows:
                self._followers.add(scope)
            else:
                self._followers.discard(scope)
            if before is None or not picture.same_effect(before):
                told.append((self._on_effect, picture))
            elif picture != before:
                told.append((self._on_heartbeat, picture))
        self._deadline = self._next_deadline(now)
        self.revision += bool(told)
        for tell, picture in told:
            tell(picture)

    def _next_deadline(self, now: datetime) -> datetime | None:
        pictures = self._pictures.values()
        heard = [p.level.state for p in pictures if p.level and not p.level.stale]
        silent_at = [state.next_heartbeat_by + AFTER for state in heard]
        expiry = self._view.next_expiry(now)
        return min([*silent_at, *([expiry] if expiry else [])], default=None)
