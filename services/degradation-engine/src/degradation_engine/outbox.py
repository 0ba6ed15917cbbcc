"""The way of announcements into Kafka.

Per scope, changes of level in their order and the newest state of the level go out side by side, then the engine's
own state. A crash in between repeats the same announcements when the same events are taken again: nothing is lost,
and a repetition has the same identity.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from resilience_contracts import Event, LevelChanged, LevelState, Version, encode
from resilience_runtime.bus import EventPublisher, PublishError
from resilience_runtime.clock import Clock
from resilience_runtime.metrics import Metrics

from . import metrics as rows
from .adapters.state_record import wrap

STORE_EVERY_S = 9.0
IN_FLIGHT = 64


class Age(Enum):
    """Which states to store although nothing is announced of their scopes."""

    NONE = auto()
    DUE = auto()
    ANY = auto()


@dataclass(slots=True)
class Waiting:
    """What a scope has announced and nobody has stored yet."""

    changes: list[LevelChanged] = field(default_factory=list)
    state: LevelState | None = None


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
        self._waiting: dict[str, Waiting] = {}
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
            waiting = self._waiting.setdefault(event.key, Waiting())
            if isinstance(event, LevelChanged):
                waiting.changes.append(event)
            elif isinstance(event, LevelState) and not self._older_than_published(event):
                waiting.state = event

    def _older_than_published(self, state: LevelState) -> bool:
        version = state.version.ordered()
        return version < self._at_least.get(state.scope, version)

    async def deliver(self, *, states: Age = Age.NONE) -> None:
        """Store what is announced, with the states of its scopes, and further states by age.

        Raises:
            PublishError: not all of it is stored; the rest still waits.
        """
        if self._waiting or states is not Age.NONE:
            await _all(self._deliver_scope(scope) for scope in [*self._waiting, *self._others(states)])

    def _others(self, states: Age) -> list[str]:
        if states is Age.NONE:
            return []
        before_s = self._clock.monotonic() - (STORE_EVERY_S if states is Age.DUE else 0.0)
        return [
            scope
            for scope, since_s in self._unstored_since_s.items()
            if since_s <= before_s and scope not in self._waiting
        ]

    async def _deliver_scope(self, scope: str) -> None:
        async with self._in_flight:
            waiting = self._waiting.get(scope, Waiting())
            try:
                await _all([self._send_changes(waiting), self._send_state(waiting)])
                await self._store(scope)
            except PublishError:
                self._metrics.counter(rows.PUBLISH_FAILURES).inc()
                raise
            self._waiting.pop(scope, None)
            self._unstored_since_s.pop(scope, None)

    async def _send_changes(self, waiting: Waiting) -> None:
        while waiting.changes:
            change = waiting.changes[0]
            await self._publisher.publish(*encode(change, self._source))
            self._metrics.counter(rows.CHANGES).labels(change.to_level).inc()
            waiting.changes.pop(0)

    async def _send_state(self, waiting: Waiting) -> None:
        if waiting.state is not None:
            await self._publisher.publish(*encode(waiting.state, self._source))
            waiting.state = None

    async def _store(self, scope: str) -> None:
        record = wrap(scope, self._dump(scope), self._partition, self._offset)
        await self._publisher.publish(*record)
        self._metrics.counter(rows.STATE_BYTES).inc(len(record.value or b""))


async def _all(sending: Iterable[Awaitable[None]]) -> None:
    """Wait for all of them, then raise the first error there was."""
    for result in await asyncio.gather(*sending, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
