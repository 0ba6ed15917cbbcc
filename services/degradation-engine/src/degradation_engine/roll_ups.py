"""The scopes that are rolled up: their children's levels in, their own levels out, each written by one worker.

The worker that owns a scope's partition of the health topic writes its level, as for every other scope. It reads the
levels topic and keeps nothing: what a region published last is in that topic.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import structlog

from resilience_contracts import (
    Applied,
    CodecError,
    HoldSet,
    LevelState,
    Policy,
    Regions,
    View,
    decode,
    encode,
    is_beneath,
)
from resilience_runtime.bus import BadMessage, EventPublisher, Message, PublishError, Reader
from resilience_runtime.clock import Clock
from resilience_runtime.metrics import Metrics

from . import metrics as rows
from .domain.roll_up import Region, parent_of

log = structlog.get_logger(__name__)

TURN_S = 0.25
"""So often changes of children are looked at; those that come together make one change of their region."""
LOOK_S = 1.0
"""So often every region is: for holds, silence and heartbeats."""


class RollUps:
    """Keeps the levels of a policy's roll-ups current.

    Args:
        holds: returns the holds on levels in force by scope, or None while they are not known.
        owns: says whether this worker owns the partition of a scope.
        regions: other regions; what is of one of them, or above it, is not written here.
    """

    def __init__(
        self,
        policy: Policy,
        holds: Callable[[datetime], Mapping[str, HoldSet] | None],
        owns: Callable[[str], bool],
        publisher: EventPublisher,
        source: str,
        *,
        clock: Clock,
        metrics: Metrics,
        regions: Regions,
    ) -> None:
        self._view = View(policy)
        self._holds = holds
        self._owns = owns
        self._publisher = publisher
        self._source = source
        self._clock = clock
        self._metrics = metrics
        self._heartbeat = timedelta(seconds=policy.timing.heartbeat_s)
        # Those furthest down first: what a region says counts in the one above it at once.
        here = (scope for scope in policy.roll_ups if not regions.concern(scope))
        names = sorted(here, key=lambda scope: (-scope.count("."), scope))
        self._regions = {name: Region(name, policy) for name in names}
        self._changed = set(names)
        self._looked_s = clock.monotonic()
        self._children: defaultdict[str, dict[str, LevelState]] = defaultdict(dict)

    def apply(self, message: Message) -> None:
        """Take a record of the levels topic, if it is of a region or of a child.

        Raises:
            BadMessage: it cannot be read as a level.
        """
        scope = (message.key or b"").decode(errors="replace")
        if not any(scope == above or is_beneath(scope, above) for above in self._regions):
            return
        try:
            event = decode(message.value, message.headers).event
        except CodecError as error:
            raise BadMessage(str(error)) from error
        if not isinstance(event, LevelState) or event.scope != scope:
            raise BadMessage(f"{event.type} is not a level of {scope!r}")
        self._take(event)

    async def run(self, reader: Reader) -> None:
        """Keep the owned regions current, once the topic has been read, for ever."""
        await reader.wait_caught_up()
        while True:
            await self.settle()
            await self._clock.sleep(TURN_S)

    async def settle(self) -> None:
        """Publish what is new of the owned regions, and what is due again."""
        now = self._clock.now()
        holds = self._holds(now)
        if holds is None:
            return
        everyone = self._clock.monotonic() - self._looked_s >= LOOK_S
        if everyone:
            self._looked_s = self._clock.monotonic()
        for name in self._regions:
            if (everyone or name in self._changed) and self._owns(name):
                await self._look_at(name, holds.get(name), now)
                await asyncio.sleep(0)

    async def _look_at(self, name: str, hold: HoldSet | None, now: datetime) -> None:
        region, before = self._regions[name], self._own(name)
        self._changed.discard(name)
        state = region.state(self._children[name].values(), before, hold, now)
        if state is None or (before and not self._is_due(state, before, now)):
            return
        try:
            await self._publish(region, state, before)
        except PublishError as error:
            self._metrics.counter(rows.PUBLISH_FAILURES).inc()
            log.warning("not stored, the next turn tries again", scope=name, reason=str(error))

    def _is_due(self, state: LevelState, before: LevelState, now: datetime) -> bool:
        return state.version != before.version or now - before.observed_at >= self._heartbeat

    async def _publish(self, region: Region, state: LevelState, before: LevelState | None) -> None:
        change = region.change(state, before)
        if change is not None:
            await self._publisher.publish(*encode(change, self._source))
            self._metrics.counter(rows.CHANGES).labels(change.to_level).inc()
        await self._publisher.publish(*encode(state, self._source))
        self._take(state)

    def _take(self, state: LevelState) -> None:
        parent = parent_of(state.scope, self._regions)
        applied = self._view.apply_level(state)
        if parent is None or applied is Applied.OLDER:
            return
        self._children[parent][state.scope] = state
        if applied is Applied.CHANGED:
            self._changed.add(parent)

    def _own(self, scope: str) -> LevelState | None:
        state = self._view.state(scope)
        return state if state and state.scope == scope else None
