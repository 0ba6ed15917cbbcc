"""The way of announcements into Kafka.

Per scope, changes of level in their order and the newest state of the level go out side by side, then the engine's
own state. A crash in between repeats the same announcements when the same events are taken again: nothing is lost,
and a repetition has the same identity. Scopes do not wait for one another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from resilience_contracts import Event, LevelChanged, LevelState, Version, encode
from resilience_runtime.bus import EventPublisher, PublishError, PublishRejectedError
from resilience_runtime.clock import Clock
from resilience_runtime.metrics import Metrics

from . import metrics as rows
from .adapters.state_record import wrap

STORE_EVERY_S = 9.0
IN_PASSING = 2
"""So many scopes are delivered side by side when there is no hurry: an event that comes meanwhile waits for no more."""


@dataclass(slots=True)
class Waiting:
    """What a scope has announced and nobody has stored yet, each with the trace that it belongs to.

    `unstored_since_s` is since when the engine's state of it is not stored.
    """

    changes: list[tuple[LevelChanged, str | None]] = field(default_factory=list)
    state: tuple[LevelState, str | None] | None = None
    unstored_since_s: float | None = None
    sending: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def announced(self) -> bool:
        """Whether there is news."""
        return bool(self.changes) or self.state is not None

    def unstored_before(self, moment_s: float) -> bool:
        """Whether the engine's state has waited since then or longer."""
        return self.unstored_since_s is not None and self.unstored_since_s <= moment_s


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
        self._at_least: dict[str, Version] = {}
        self._offset: int | None = None

    def at_least(self, versions: Mapping[str, Version]) -> None:
        """Keep back states of levels older than these, which went out before."""
        self._at_least = dict(versions)

    def touch(self, scope: str, offset: int) -> None:
        """Note that a scope took the event at an offset, whether or not that changed anything."""
        self._offset = offset
        self._note(scope)

    def add(self, events: Iterable[Event], traceparent: str | None = None) -> None:
        """Queue what the engine announced; `traceparent` is of what caused it."""
        for event in events:
            waiting = self._note(event.key)
            if isinstance(event, LevelChanged):
                waiting.changes.append((event, traceparent))
            elif isinstance(event, LevelState) and not self._older_than_published(event):
                waiting.state = (event, traceparent)

    async def deliver(self, scopes: Iterable[str]) -> None:
        """Store what scopes have announced, then their states; nothing where there is no news.

        Raises:
            PublishError: not all of it is stored; the rest still waits.
        """
        waiting = [(scope, self._waiting[scope]) for scope in scopes if scope in self._waiting]
        await _all(self._send(scope, news) for scope, news in waiting if news.announced)

    async def deliver_all(
        self, *, unstored_for_s: float = STORE_EVERY_S, side_by_side: int = IN_PASSING
    ) -> None:
        """Store what every scope has announced, and each state that has waited for so long.

        Raises:
            PublishError: not all of it is stored; the rest still waits.
        """
        before_s = self._clock.monotonic() - unstored_for_s
        due = iter(
            [
                (scope, waiting)
                for scope, waiting in self._waiting.items()
                if waiting.announced or waiting.unstored_before(before_s)
            ]
        )
        await _all(self._send_each(due) for _ in range(side_by_side))

    def _note(self, scope: str) -> Waiting:
        waiting = self._waiting.get(scope)
        if waiting is None:
            waiting = self._waiting[scope] = Waiting()
        if waiting.unstored_since_s is None:
            waiting.unstored_since_s = self._clock.monotonic()
        return waiting

    def _older_than_published(self, state: LevelState) -> bool:
        version = state.version.ordered()
        return version < self._at_least.get(state.scope, version)

    async def _send_each(self, due: Iterator[tuple[str, Waiting]]) -> None:
        """Send one scope after another; what Kafka refuses of one must not keep the others back."""
        refused: PublishRejectedError | None = None
        for scope, waiting in due:
            try:
                await self._send(scope, waiting)
            except PublishRejectedError as error:
                refused = error
        if refused:
            raise refused

    async def _send(self, scope: str, waiting: Waiting) -> None:
        async with waiting.sending:
            try:
                while waiting.announced:
                    await _all([self._send_changes(waiting), self._send_state(waiting)])
                await self._store(scope, waiting)  # at once: a state must not know of news that is not out
            except PublishError:
                self._metrics.counter(rows.PUBLISH_FAILURES).inc()
                raise

    async def _send_changes(self, waiting: Waiting) -> None:
        while waiting.changes:
            change, traceparent = waiting.changes[0]
            await self._publisher.publish(*encode(change, self._source, traceparent))
            self._metrics.counter(rows.CHANGES).labels(change.to_level).inc()
            waiting.changes.pop(0)

    async def _send_state(self, waiting: Waiting) -> None:
        state = waiting.state
        if state is None:
            return
        await self._publisher.publish(*encode(state[0], self._source, state[1]))
        if waiting.state is state:
            waiting.state = None

    async def _store(self, scope: str, waiting: Waiting) -> None:
        since_s, waiting.unstored_since_s = waiting.unstored_since_s, None
        if since_s is None:
            return
        record = wrap(scope, self._dump(scope), self._partition, self._offset)
        try:
            await self._publisher.publish(*record)
        except BaseException:
            waiting.unstored_since_s = since_s
            raise
        self._metrics.counter(rows.STATE_BYTES).inc(len(record.value or b""))


async def _all(sending: Iterable[Awaitable[None]]) -> None:
    """Wait for all of them, then raise the first error there was."""
    for result in await asyncio.gather(*sending, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
