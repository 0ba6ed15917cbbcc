"""The engine's place in Kafka, by Faust: membership, ownership of partitions, back-pressure, commits, the timer.

Faust gives raw records and nothing else: no tables, no windows, no models, one batch of a partition at a time.
Publishing goes through `EventPublisher` rather than Faust's topics: it is idempotent, every send has a deadline, and
it is rebuilt after a fatal error, none of which Faust's own producer is. A batch is committed only after everything
that follows from it is stored.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import faust
import structlog
from aiokafka.errors import KafkaError
from faust.contrib.asgi import bind_to_running_loop
from faust.types import TP, ConsumerT, StreamT
from faust.types.auth import CredentialsT
from mode import CrashingSupervisor

from resilience_contracts import Topic
from resilience_runtime.backoff import Backoff
from resilience_runtime.clock import Clock
from resilience_runtime.kafka.access import KafkaAccess

from .adapters.shelf import Shelf, read_shelf
from .batch import Batch, BatchConsumer, BatchTransport
from .ownership import Ownership

log = structlog.get_logger(__name__)

GROUP = "degradation-engine-roundrobin"
"""Another assignor needs another group: members of one group must agree on it."""
STOP_S = 4.5
TICK_S = 1.0
LAG_LIMIT = 1000
STORING = timedelta(seconds=0.25)
"""At most so long a broker stamps a record before it counts into the topic's end, or is its clock behind."""
SILENT_AFTER_S = 30.0
ENDS_S = 5.0
FIRST_RETRY_S, LAST_RETRY_S = 0.5, 10.0
SHELF_ATTEMPTS = 3
SIDE_BY_SIDE = 12
"""So many batches wait for what follows from them to be stored: two of each partition of the health topic."""

SETTINGS: dict[str, Any] = {
    "store": "memory://",
    "autodiscover": False,
    "web_enabled": False,
    "key_serializer": "raw",
    "value_serializer": "raw",
    "topic_disable_leader": True,
    "topic_allow_declare": False,
    "table_standby_replicas": 0,
    "broker_session_timeout": 10,
    "broker_heartbeat_interval": 1,
    "broker_rebalance_timeout": 15,
    "broker_request_timeout": 30,
    "broker_max_poll_interval": 60,
    "broker_commit_interval": 1,
    "broker_commit_livelock_soft_timeout": 60,
    "stream_buffer_maxsize": 8,
    "consumer_auto_offset_reset": "earliest",
    "producer_acks": -1,
    "producer_request_timeout": 10,
    "stream_processing_timeout": 60,
    "worker_redirect_stdouts": False,
    "agent_supervisor": CrashingSupervisor,
}
"""Measured choices: Faust's defaults lose a killed worker's partitions for a minute."""


class StreamEnded(Exception):  # noqa: N818 - what happened
    """Faust stopped by itself; the process ends, and its supervisor starts it again."""


class _App(faust.App):
    def _create_directories(self) -> None:
        """Write nothing: there are no tables, and the working directory may be read-only."""


class Stream:
    """Runs Faust. `ready` and `alive` are for the health endpoints.

    `heard` is told when the newest event of each batch was stored.
    """

    def __init__(
        self,
        kafka: KafkaAccess,
        member_id: str | None,
        ownership: Ownership,
        *,
        clock: Clock,
        random: Random,
        heard: Callable[[datetime], None] = lambda _stored: None,
    ) -> None:
        self._kafka = kafka
        self._member_id = member_id
        self._ownership = ownership
        self._clock = clock
        self._random = random
        self._heard = heard
        self._consumer: ConsumerT | None = None
        self._rebalancing: Callable[[], bool] = lambda: True
        self._taken: dict[int, int] = {}
        self._ends: dict[int, int] = {}
        self._started = False
        self._ticked_s = clock.monotonic()

    @property
    def ready(self) -> bool:
        """Whether partitions were given out, events are being taken and few wait."""
        given_out = self._consumer is not None and not self._rebalancing()
        return self._started and given_out and self.lag() <= LAG_LIMIT

    @property
    def alive(self) -> bool:
        """Whether the timer runs, or Kafka is still being looked for."""
        return not self._started or self._clock.monotonic() - self._ticked_s < SILENT_AFTER_S

    def lag(self) -> int:
        """Return how many stored events of the owned partitions were not taken at the last tick."""
        return sum(max(0, end - self._taken.get(number, end)) for number, end in self._ends.items())

    async def run(self) -> None:
        """Take events until cancelled. Looks for Kafka for ever at the start.

        Raises:
            StreamEnded: Faust crashed or stopped.
        """
        app = await self._start()
        self._ticked_s = self._clock.monotonic()
        self._started = True
        try:
            await app.wait_until_stopped()
        finally:
            self._started = False
            await _stop(app)
            await self._ownership.release()  # only now does nothing come in any more
        raise StreamEnded(f"Faust ended: {app.crash_reason or 'stopped'}") from app.crash_reason

    async def _start(self) -> faust.App:
        backoff = Backoff(self._random, FIRST_RETRY_S, LAST_RETRY_S)
        while True:
            try:
                return await self._started_app()
            except (KafkaError, OSError) as error:
                log.warning("Kafka is away, trying again", bootstrap=self._kafka.bootstrap, reason=str(error))
                await self._clock.sleep(backoff.next_s())

    async def _started_app(self) -> faust.App:
        app = self._build()
        bind_to_running_loop(app)
        app.finalize()
        try:
            await app.maybe_start()
        except (KafkaError, OSError, asyncio.CancelledError):
            await _stop(app)
            raise
        return app

    def _build(self) -> faust.App:
        app = _App(
            GROUP,
            broker=[f"kafka://{server.strip()}" for server in self._kafka.bootstrap.split(",")],
            broker_credentials=_credentials(self._kafka),
            consumer_group_instance_id=self._member_id,
            **SETTINGS,
        )
        app.transport = BatchTransport(app.conf.broker_consumer, app)
        topic = app.topic(str(Topic.HEALTH), key_type=bytes, value_type=bytes, allow_empty=True)
        app.agent(topic, name="health", concurrency=1)(self._take_all)
        app.timer(TICK_S)(self._tick)

        async def on_assigned(*_: object, **__: object) -> None:
            await self._on_assigned(app.consumer)

        async def on_revoked(*_: object, **__: object) -> None:
            await self._ownership.release()

        app.on_rebalance_complete.connect(on_assigned, weak=False)
        app.on_partitions_revoked.connect(on_revoked, weak=False)
        self._rebalancing = lambda: bool(app.rebalancing)
        return app

    async def _take_all(self, stream: StreamT[bytes]) -> None:
        """Take batches of several partitions side by side, those of one partition in their order."""
        room = asyncio.Semaphore(SIDE_BY_SIDE)
        turns: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        async with asyncio.TaskGroup() as taking:
            async for event in stream.events():
                if isinstance(event.message, Batch):
                    await room.acquire()
                    turn = turns[event.message.partition]
                    taken = taking.create_task(self._take(event.message, event.app.consumer, turn))
                    taken.add_done_callback(lambda _: room.release())

    async def _take(self, batch: Batch, consumer: BatchConsumer, turn: asyncio.Lock) -> None:
        async with turn:
            if not consumer.current(batch) or batch.partition not in self._ownership.numbers:
                return  # of before a rebalance: partitions are owned before the first batch of a new generation comes
            self._heard(datetime.fromtimestamp(max(0, batch.records[-1].timestamp) / 1000, UTC))
            await self._ownership.take(batch.partition, batch.records)
            consumer.took(batch)
            self._taken[batch.partition] = batch.offset + 1

    async def _tick(self) -> None:
        self._ticked_s = self._clock.monotonic()
        if self._consumer is None or self._rebalancing():
            return
        now = self._clock.now() - STORING  # before the ends are read: what is stored later may be left out
        try:
            self._ends = await asyncio.wait_for(self._read_ends(self._consumer), ENDS_S)
        except (KafkaError, TimeoutError):
            return  # nothing can be published now, and what is still stored unread must come before the wall clock
        await self._ownership.tick(now, self._caught_up, over_s=TICK_S / 2)

    def _caught_up(self, number: int) -> bool:
        return number in self._ends and self._taken.get(number, 0) >= self._ends[number]

    async def _read_ends(self, consumer: ConsumerT) -> dict[int, int]:
        parts = [TP(str(Topic.HEALTH), number) for number in self._ownership.numbers]
        ends = await consumer.highwaters(*parts) if parts else {}
        return {part.partition: end for part, end in ends.items()}

    async def _on_assigned(self, consumer: ConsumerT) -> None:
        numbers = {part.partition for part in consumer.assignment() if part.topic == Topic.HEALTH}
        shelf = await self._read_shelf(numbers)
        self._taken, self._ends = dict(shelf.starts), {}
        self._consumer = consumer
        self._ownership.replace(numbers, shelf)

    async def _read_shelf(self, numbers: set[int]) -> Shelf:
        backoff = Backoff(self._random, FIRST_RETRY_S, LAST_RETRY_S)
        for _ in range(SHELF_ATTEMPTS - 1):
            try:
                return await read_shelf(self._kafka, GROUP, numbers)
            except (KafkaError, OSError) as error:
                log.warning("stored states not read, trying again", reason=str(error) or type(error).__name__)
                await self._clock.sleep(backoff.next_s())
        return await read_shelf(self._kafka, GROUP, numbers)


def _credentials(kafka: KafkaAccess) -> CredentialsT | None:
    """Say who we are in Faust's way."""
    context = kafka.ssl_context()
    if kafka.protocol.authenticated:
        return faust.SASLCredentials(
            username=kafka.username,
            password=kafka.secret,
            ssl_context=context,
            mechanism=str(kafka.mechanism),
        )
    return faust.SSLCredentials(context) if context else None


async def _stop(app: faust.App) -> None:
    try:
        await asyncio.wait_for(app.stop(), STOP_S)
    except Exception as error:  # noqa: BLE001 - it ends whatever Faust thinks of that
        log.warning("Faust did not stop cleanly", reason=str(error) or type(error).__name__)
