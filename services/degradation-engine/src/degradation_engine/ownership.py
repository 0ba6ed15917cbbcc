"""The partitions that this worker owns, and what becomes of their records."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from random import Random

import structlog

from resilience_contracts import CodecError, HoldSet, Policy
from resilience_runtime.backoff import Backoff
from resilience_runtime.bus import BadMessage, EventPublisher, Message, PublishError
from resilience_runtime.clock import Clock
from resilience_runtime.kafka.dead_letters import DeadLetters
from resilience_runtime.kafka.record import message_of
from resilience_runtime.metrics import Metrics
from resilience_runtime.tracing import Tracing

from . import metrics as rows
from .adapters.report_record import Record
from .adapters.shelf import Shelf, partition_of
from .domain import RefusalReason, Refused
from .partition import Partition

log = structlog.get_logger(__name__)

STORE_DEADLINE_S = 2.0


class Ownership:
    """Partitions by number, each with what earlier workers left of it.

    Args:
        holds: returns the holds on levels in force by scope, or None when they are not known.
    """

    def __init__(
        self,
        policy: Policy,
        holds: Callable[[datetime], Mapping[str, HoldSet] | None],
        publisher: EventPublisher,
        source: str,
        *,
        clock: Clock,
        random: Random,
        metrics: Metrics,
        tracing: Tracing | None = None,
    ) -> None:
        self._policy = policy
        self._holds = holds
        self._publisher = publisher
        self._source = source
        self._clock = clock
        self._random = random
        self._metrics = metrics
        self._tracing = tracing
        events, refused = metrics.counter(rows.EVENTS), metrics.counter(rows.REFUSED)
        self._taken = events.labels("taken")
        # From 0, else the first scrape shows the first refusals and no increase ever does.
        events.labels("dead_decode"), events.labels("dead_apply")
        for reason in RefusalReason:
            refused.labels(reason.value)
        self._dead_letters = DeadLetters(publisher, clock)
        self._partitions: dict[int, Partition] = {}
        self._partition_count = 1
        metrics.watch(rows.PARTITIONS, lambda: len(self._partitions))
        metrics.watch(rows.LEVEL, self._levels)

    @property
    def numbers(self) -> frozenset[int]:
        """The partitions that are owned."""
        return frozenset(self._partitions)

    def owns(self, scope: str) -> bool:
        """Say whether a scope belongs to a partition that is owned."""
        return partition_of(scope.encode(), self._partition_count) in self._partitions

    def replace(self, numbers: Iterable[int], shelf: Shelf) -> None:
        """Own exactly these, each anew from what is stored: another worker may have had it in between."""
        self._partitions = {number: self._build(number) for number in sorted(numbers)}
        self._partition_count = shelf.partition_count
        holds = self._holds(self._clock.now())
        for partition in self._partitions.values():
            partition.restore(shelf, holds)
        log.info("partitions taken over", partitions=sorted(self._partitions), scopes=len(self._levels()))

    async def release(self) -> None:
        """Store what is not stored yet and own nothing; after two seconds the next owner goes without."""
        partitions, self._partitions = self._partitions, {}
        try:
            async with asyncio.timeout(STORE_DEADLINE_S):
                await asyncio.gather(*(partition.store() for partition in partitions.values()))
        except (PublishError, TimeoutError) as error:
            log.warning("states not stored before release", reason=str(error) or "timeout")

    async def take(self, number: int, records: Sequence[Record]) -> None:
        """Take records of an owned partition; return when all that follows is stored, be it as dead letters.

        Raises:
            KeyError: the partition is not owned, so that the records must not be acknowledged.
        """
        bad = await self._partitions[number].take(records)
        for record, error in bad:
            await self._bury(message_of(record), error)
        self._taken.inc(len(records) - len(bad))

    async def tick(self, now: datetime, caught_up: Callable[[int], bool], over_s: float = 0.0) -> None:
        """Let time pass in every partition, one after another.

        Args:
            now: the wall clock.
            caught_up: says of a partition whether every event stored before `now` is taken.
            over_s: the partitions' turns are spread over so long, so that an event waits for one of them at most.
        """
        holds = self._holds(now)
        pause_s = over_s / max(1, len(self._partitions))
        async with asyncio.TaskGroup() as ticking:
            for number, partition in list(self._partitions.items()):
                if self._partitions.get(number) is not partition:
                    continue  # it went to another worker meanwhile
                wall = now if caught_up(number) else None
                ticking.create_task(self._tick(partition, holds, wall))
                await self._clock.sleep(pause_s)

    async def _tick(
        self, partition: Partition, holds: Mapping[str, HoldSet] | None, wall: datetime | None
    ) -> None:
        try:
            await partition.tick(holds, wall=wall)
        except PublishError as error:
            log.warning(
                "not stored, the next tick tries again", partition=partition.number, reason=str(error)
            )

    async def _bury(self, message: Message, error: BadMessage) -> None:
        cause = error.__cause__ if isinstance(error.__cause__, CodecError | Refused) else error
        stage = "apply" if isinstance(cause, Refused) else "decode"
        self._metrics.counter(rows.EVENTS).labels(f"dead_{stage}").inc()
        backoff = Backoff(self._random)
        lost = self._dead_letters.lost
        while not await self._dead_letters.send(message, cause, stage) and self._dead_letters.lost > lost:
            lost = self._dead_letters.lost
            await self._clock.sleep(backoff.next_s())

    def _build(self, number: int) -> Partition:
        return Partition(
            number,
            self._policy,
            self._publisher,
            self._source,
            clock=self._clock,
            random=self._random,
            metrics=self._metrics,
            tracing=self._tracing,
        )

    def _levels(self) -> Mapping[tuple[str, ...], float]:
        return {
            (scope,): float(level)
            for partition in self._partitions.values()
            for scope, level in partition.levels.items()
        }
