"""Where holds are set and ended: the audit entry is stored first, then the hold, then comes the answer."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from uuid import uuid4

import structlog

from flag_service.domain.audit import Action, Deed, of_hold
from flag_service.domain.holds import Draft, HoldConflictError, action, difference, plan, tag
from flag_service.domain.switchboard import Switchboard
from flag_service.domain.tags import matches
from resilience_contracts import Encoded, HoldSet, encode, hold_key
from resilience_contracts.view import hold_tombstone
from resilience_runtime.bus import EventPublisher
from resilience_runtime.clock import Clock
from resilience_runtime.pulse import Pulse

from .trail import AuditTrail

READ_BACK_S = 2.0
EXPIRY_ACTOR = "flag-service"
EXPIRY_REASON = "its time is over"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Request:
    """Who asks, on which condition (If-Match, If-None-Match), and how logs and audit call the request."""

    actor: str
    correlation_id: str
    if_match: str | None = None
    if_none_match: str | None = None

    def conflicts(self, held: HoldSet | None) -> bool:
        """Say whether the hold in force is not the one that the caller counts on."""
        if self.if_none_match is not None:
            return held is not None
        if self.if_match is None:
            return False
        return held is None or not (self.if_match.strip() == "*" or matches(self.if_match, tag(held)))


class HoldDesk:
    """The only writer of holds in this process.

    A change of one target waits for the one before it. Its answer waits until this replica has read the
    record back, so that state has one way in and whoever set a hold reads it.
    """

    def __init__(
        self,
        *,
        switchboard: Switchboard,
        publisher: EventPublisher,
        trail: AuditTrail,
        clock: Clock,
        pulse: Pulse,
        source: str,
        leads: Callable[[], bool],
        new_id: Callable[[], str] = lambda: uuid4().hex,
    ) -> None:
        self._switchboard = switchboard
        self._publisher = publisher
        self._trail = trail
        self._clock = clock
        self._pulse = pulse
        self._source = source
        self._leads = leads
        self._new_id = new_id
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.done: Counter[str] = Counter()

    async def put(self, draft: Draft, request: Request) -> HoldSet:
        """Set a hold, or edit the one in force.

        Raises:
            HoldInvalidError: the draft cannot be.
            HoldConflictError: the hold is not the one that the caller read.
            PublishError: Kafka did not store it in time.
        """
        async with self._locks[hold_key(draft.scope, draft.target)]:
            now = self._clock.now()
            last = self._switchboard.last_hold(draft.scope, draft.target, now)
            held = last if last and last.expires_at > now else None
            hold = plan(draft, last, request.actor, now, self._new_id())
            if request.conflicts(held):
                raise HoldConflictError(held, difference(held, hold))
            deed = _deed(action(held, hold), request, hold.reason, before=held, after=hold)
            await self._store(deed, encode(hold, self._source))
            await self._pulse.until(lambda: _not_before(self._last(hold), hold), READ_BACK_S)
            await self._yield_to(self._last(hold), hold)
            return hold

    async def end(self, scope: str, target: str, reason: str, request: Request) -> bool:
        """End a hold now; False when there is none.

        Raises:
            HoldConflictError: the hold is not the one that the caller read.
            PublishError: Kafka did not store it in time.
        """
        if self._switchboard.last_hold(scope, target, self._clock.now()) is None:
            return False
        async with self._locks[hold_key(scope, target)]:
            held = self._switchboard.last_hold(scope, target, self._clock.now())
            if held is None:
                return False
            if request.conflicts(held):
                raise HoldConflictError(held, {})
            await self._end(held, _deed(Action.END, request, reason, before=held, after=None))
            return True

    async def write_expired(self) -> None:
        """Write the end of each hold whose time is over, once, and audit entries that still wait.

        Raises:
            PublishError: Kafka did not store one in time.
        """
        await self._trail.flush()
        for hold in self._due():
            async with self._locks[hold.key]:
                if hold not in self._due():
                    continue
                with suppress(HoldConflictError):
                    await self._expire(hold)

    async def _expire(self, hold: HoldSet) -> None:
        if self._trail.has_expired(hold):
            # Its writer died between the entry and the tombstone: only the latter is missing.
            await self._publisher.publish(*hold_tombstone(hold))
            await self._settle_end(hold)
            return
        request = Request(EXPIRY_ACTOR, hold.hold_id)
        await self._end(hold, _deed(Action.EXPIRE, request, EXPIRY_REASON, before=hold, after=None))

    async def _end(self, hold: HoldSet, deed: Deed) -> None:
        await self._store(deed, hold_tombstone(hold))
        await self._settle_end(hold)

    async def _settle_end(self, hold: HoldSet) -> None:
        await self._pulse.until(lambda: self._last(hold) != hold, READ_BACK_S)
        await self._yield_to(self._switchboard.last_ended(hold.scope, hold.target), hold)

    async def _yield_to(self, other: HoldSet | None, hold: HoldSet) -> None:
        # Another replica stored a newer record meanwhile. Stored again, it is also the last one in the topic,
        # so that whoever reads the topic later agrees with those who read it now.
        if other is None or other == hold or not _not_before(other, hold):
            return
        await self._publisher.publish(*encode(other, self._source))
        raise HoldConflictError(other, difference(other, hold))

    def _due(self) -> list[HoldSet]:
        # Its own; and those that a writer left which is no more, if this replica leads: two would write both.
        now = self._clock.now()
        due = self._switchboard.due(now, self._source)
        return due if self._leads() else [hold for hold in due if self._switchboard.wrote(hold, self._source)]

    def _last(self, hold: HoldSet) -> HoldSet | None:
        return self._switchboard.last_hold(hold.scope, hold.target, self._clock.now())

    async def _store(self, deed: Deed, record: Encoded) -> None:
        async with self._trail.recorded(deed):
            await self._publisher.publish(*record)
        self.done[deed.action.value] += 1
        _log.info(deed.action.value, scope=deed.scope, target=deed.target, actor=deed.actor)


def _not_before(record: HoldSet | None, hold: HoldSet) -> bool:
    return record is not None and (record.set_at, record.version) >= (hold.set_at, hold.version)


def _deed(
    action: Action, request: Request, reason: str, *, before: HoldSet | None, after: HoldSet | None
) -> Deed:
    subject = after or before
    if subject is None:
        raise ValueError("a deed is about a hold")
    changed = (of_hold(before), of_hold(after))
    return Deed(
        action, subject.scope, subject.target, request.actor, reason, *changed, request.correlation_id
    )
