"""The way of announcements into Kafka.

Per scope the order is: changes and states of the level as the engine gave them, then the engine's own state. A
crash in between repeats the same announcements when the same events are taken again: nothing is lost, and a
repetition has the same identity.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

from resilience_contracts import Event, LevelChanged, LevelState, Version, encode
from resilience_runtime.bus import EventPublisher, PublishError
from resilience_runtime.clock import Clock
from resilience_runtime.metrics import Metrics

from . import metrics as rows
from .adapters.state_record import wrap

STORE_EVERY_S = 10.0
IN_FLIGHT = 64


class Outbox:
    """Holds what is not stored yet, by scope; a newer state of a level replaces one that still waits.

    Args:
        partition: the partition of the health topic that all scopes belong to.
        dump: returns the engine's state of a scope.
        source: who publishes, for the envelopes.
    """

    def __init__(
        self,
        partition: int,
        dump: Callable[[str], bytes],
        publisher: EventPublisher,
        source: str,
        *,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._partition = partition
        self._dump = dump
        self._publisher = publisher
        self._source = source
        self._clock = clock
        self._metrics = metrics
        self._waiting: dict[str, list[Event]] = {}
        self._unstored_since_s: dict[str, float] = {}
        self._at_least: dict[str, Version] = {}
        self._offset: int | None = None
        self._in_flight = asyncio.Semaphore(IN_FLIGHT)

    def at_least(self, versions: Mapping[str, Version]) -> None:
        """Keep back states of levels older than these, which went out before."""
        self._at_least = dict(versions)

    def touch(self, scope: str, offset: int) -> None:
        """Note that a scope took the event at an offset, whether or not that changed anything."""
        self._offset = offset
        self._unstored_since_s.setdefault(scope, self._clock.monotonic())

    def add(self, events: Iterable[Event]) -> None:
        """Queue what the engine announced."""
        for event in events:
            waiting = self._waiting.setdefault(event.key, [])
            if isinstance(event, LevelState):
                waiting[:] = [other for other in waiting if not isinstance(other, LevelState)]
                if event.version.ordered() < self._at_least.get(event.scope, event.version.ordered()):
                    continue
            waiting.append(event)

    async def deliver(self, *, everything: bool = False) -> None:
        """Store what waits, and the states that have waited for ten seconds (or every one).

        Raises:
            PublishError: not all of it is stored; the rest still waits.
        """
        scopes = self._due(everything=everything)
        if not scopes:
            return
        done = await asyncio.gather(*(self._deliver_scope(scope) for scope in scopes), return_exceptions=True)
        for error in done:
            if isinstance(error, BaseException):
                raise error

    def _due(self, *, everything: bool) -> list[str]:
        before_s = self._clock.monotonic() - (0.0 if everything else STORE_EVERY_S)
        overdue = [scope for scope, since_s in self._unstored_since_s.items() if since_s <= before_s]
        return [*self._waiting, *(scope for scope in overdue if scope not in self._waiting)]

    async def _deliver_scope(self, scope: str) -> None:
        async with self._in_flight:
            waiting = self._waiting.get(scope, [])
            try:
                while waiting:
                    await self._publisher.publish(*encode(waiting[0], self._source))
                    self._count(waiting.pop(0))
                await self._store(scope)
            except PublishError:
                self._metrics.counter(rows.PUBLISH_FAILURES).inc()
                raise
            self._waiting.pop(scope, None)
            self._unstored_since_s.pop(scope, None)

    async def _store(self, scope: str) -> None:
        record = wrap(scope, self._dump(scope), self._partition, self._offset)
        await self._publisher.publish(*record)
        self._metrics.counter(rows.STATE_BYTES).inc(len(record.value or b""))

    def _count(self, event: Event) -> None:
        if isinstance(event, LevelChanged):
            self._metrics.counter(rows.CHANGES).labels(event.to_level).inc()
