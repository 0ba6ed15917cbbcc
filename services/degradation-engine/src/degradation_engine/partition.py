"""One partition of the health topic: its engine, and what comes in and goes out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from random import Random

import structlog

from resilience_contracts import (
    CodecError,
    Event,
    HoldSet,
    Level,
    LevelChanged,
    LevelState,
    Policy,
    Version,
)
from resilience_runtime.backoff import Backoff
from resilience_runtime.bus import BadMessage, EventPublisher, PublishError, PublishRejectedError
from resilience_runtime.clock import Clock
from resilience_runtime.metrics import Metrics
from resilience_runtime.trace_context import current_traceparent, traceparent_of
from resilience_runtime.tracing import NoTracing, SpanKind, Tracing

from . import metrics as rows
from .adapters.report_record import Record, read_report
from .adapters.shelf import Shelf, partition_of
from .domain import Engine, Refused, Report
from .outbox import Outbox

log = structlog.get_logger(__name__)

SECOND_MS = 1000
AT_A_STROKE = 50
"""So many events are judged before other tasks may run: a few milliseconds. The first of them is timed: to time each
would cost as much as a tenth of judging it."""

IN_A_HURRY = 16
"""So many states are stored side by side before a partition goes: the next owner does not wait."""

Bad = tuple[Record, BadMessage]


class Partition:
    """Judging is done at a stroke, between two awaits; only storing what follows takes time.

    Time is that of the log: the moment a record was stored, or the wall clock once every record is taken. So
    a worker that catches up after an absence decides what one that had never been away would have decided.
    """

    def __init__(
        self,
        number: int,
        policy: Policy,
        publisher: EventPublisher,
        source: str,
        *,
        clock: Clock,
        random: Random,
        metrics: Metrics,
        tracing: Tracing | None = None,
    ) -> None:
        self.number = number
        self.levels: dict[str, Level] = {}
        self._engine = Engine(policy)
        self._outbox = Outbox(number, self._engine.dump, publisher, source, clock=clock, metrics=metrics)
        self._clock = clock
        self._random = random
        self._metrics = metrics
        self._tracing = tracing or NoTracing()
        self._evaluation = metrics.histogram(rows.EVALUATION)
        self._partition_count = number + 1
        self._gone_out: dict[str, Version] = {}
        self._held_before: dict[str, tuple[datetime, HoldSet]] = {}
        self._log_time: datetime | None = None

    def restore(self, shelf: Shelf, holds: Mapping[str, HoldSet] | None = None) -> None:
        """Take over what earlier workers left for this partition.

        A hold that one of them announced before it was killed, and did not come to store, is put on again as of the
        same moment, so that the same announcement comes of it.

        Args:
            shelf: what they left.
            holds: the holds on levels in force, by scope; None when they are not known now.
        """
        self._partition_count = shelf.partition_count
        for scope in self._own(shelf.states):
            self._engine.restore(shelf.states[scope])
            stored = self._engine.version(scope)
            self._gone_out[scope] = shelf.versions.get(scope, stored)
            held, hold = shelf.held.get(scope), (holds or {}).get(scope)
            if held and hold and held.hold_id == hold.hold_id and stored < self._gone_out[scope]:
                self._held_before[scope] = held.observed_at, hold
        for scope in self._own(shelf.orphans):
            self._engine.succeed(shelf.orphans[scope], self._clock.now())
            self._metrics.counter(rows.LOST_STATES).inc()
        self._outbox.at_least(self._gone_out)

    async def take(self, records: Sequence[Record]) -> list[Bad]:
        """Take health events in their order; return when all that follows is stored, however long that takes.

        Returns:
            Those that cannot be read or break a rule, each with why. They changed nothing.
        """
        bad: list[Bad] = []
        told: set[str] = set()
        for first in range(0, len(records), AT_A_STROKE):
            if first:
                await asyncio.sleep(0)
            bad += self._take_at_a_stroke(records[first : first + AT_A_STROKE], told)
        await self._deliver_surely(told)
        return bad

    async def tick(self, holds: Mapping[str, HoldSet] | None, *, wall: datetime | None) -> None:
        """Let time pass. What cannot be stored now waits for the next tick.

        Args:
            holds: exactly the holds on levels in force, by scope; None when they are not known now.
            wall: the wall clock, when every event stored before it is taken; None while some still wait.

        Raises:
            PublishError: not all of it is stored.
        """
        now = wall or self._log_time
        if now is None:
            return
        if wall:
            for scope in list(self._held_before):
                self._hold_as_before(scope)
            self._outrun()
        if holds is not None:
            self._announce_of_time(self._engine.hold_only(self._without_held_before(holds), now))
        self._announce_of_time(self._engine.tick(now))
        await self._outbox.deliver_all()

    async def store(self) -> None:
        """Store every state that is not stored yet, before the partition goes to another worker.

        Raises:
            PublishError: not all of it is stored.
        """
        await self._outbox.deliver_all(unstored_for_s=0.0, side_by_side=IN_A_HURRY)

    def _own(self, scopes: Iterable[str]) -> list[str]:
        monitored = (scope for scope in scopes if scope not in self._engine.policy.roll_ups)
        return [
            scope for scope in monitored if partition_of(scope.encode(), self._partition_count) == self.number
        ]

    def _outrun(self) -> None:
        for scope, version in self._gone_out.items():
            self._engine.outrun(scope, version)
        self._gone_out = {}
        self._outbox.at_least({})

    def _hold_as_before(self, scope: str) -> None:
        moment, hold = self._held_before.pop(scope)
        self._announce(self._engine.hold(hold, moment))

    def _without_held_before(self, holds: Mapping[str, HoldSet]) -> Mapping[str, HoldSet]:
        return {scope: hold for scope, hold in holds.items() if scope not in self._held_before}

    def _take_at_a_stroke(self, records: Sequence[Record], told: set[str]) -> list[Bad]:
        """Take some events; `told` comes to hold the scopes of which there is news."""
        bad: list[Bad] = []
        latest = self._clock.now()
        for number, record in enumerate(records):
            try:
                report = self._read(record)
                if self._take(record, report, latest, timed=number == 0):
                    told.add(report.scope)
            except BadMessage as error:
                bad.append((record, error))
        return bad

    def _take(self, record: Record, report: Report, latest: datetime, *, timed: bool) -> bool:
        """Take one event and say whether there is news of its scope. Its time is `latest` at the latest."""
        now = min(datetime.fromtimestamp(max(0, record.timestamp) / SECOND_MS, UTC), latest)
        if report.scope in self._held_before and self._held_before[report.scope][0] < now:
            self._hold_as_before(report.scope)
        began_s = time.perf_counter()
        announced = self._observe(report, now)
        if timed:
            self._evaluation.observe(time.perf_counter() - began_s)
        self._log_time = now
        if self._engine.knows(report.scope):
            self._outbox.touch(report.scope, record.offset)
        if announced:
            with self._tracing.span("judge", SpanKind.CONSUMER, parent=traceparent_of(record.headers)):
                self._announce(announced)
        return bool(announced)

    def _read(self, record: Record) -> Report:
        try:
            report = read_report(record)
        except CodecError as error:
            raise BadMessage(str(error)) from error
        if record.key != report.scope.encode():
            raise BadMessage(f"the key is not the event's scope {report.scope!r}")
        belongs = partition_of(record.key, self._partition_count)
        if belongs != self.number:
            raise BadMessage(
                f"scope {report.scope!r} belongs to partition {belongs}, by Kafka's default partitioner"
            )
        return report

    def _observe(self, report: Report, now: datetime) -> list[Event]:
        try:
            return self._engine.observe(report, now)
        except Refused as error:
            self._metrics.counter(rows.REFUSED).labels(error.reason.value).inc()
            raise BadMessage(str(error)) from error

    def _announce_of_time(self, events: list[Event]) -> None:
        changes = any(isinstance(event, LevelChanged) for event in events)
        with self._tracing.span("tick") if changes else nullcontext():
            self._announce(events)

    def _announce(self, events: list[Event]) -> None:
        self._outbox.add(events, current_traceparent())
        for event in events:
            if isinstance(event, LevelState):
                self.levels[event.scope] = event.known_level

    async def _deliver_surely(self, scopes: Collection[str]) -> None:
        backoff = Backoff(self._random)
        while True:
            try:
                await self._outbox.deliver(scopes)
            except PublishRejectedError:
                raise
            except PublishError as error:
                log.warning("not stored, trying again", partition=self.number, reason=str(error))
                await self._clock.sleep(backoff.next_s())
            else:
                return
