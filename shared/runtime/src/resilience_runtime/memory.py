"""The bus in memory: one log, a publisher, any number of readers. For tests and demonstrations."""

from __future__ import annotations

import asyncio
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable

from .bus import Apply, Headers, Message, PublishError, PublishRejectedError
from .clock import Clock, SystemClock
from .intake import Intake, Names, OnBad

MAX_RECORD_BYTES = 4 * 1024 * 1024


class MemoryBus:
    """A publisher with readers. Promises what Kafka does: order within a key, all records for all.

    Args:
        partitions: of each topic; a topic exists as soon as it is named.

    Attributes:
        up: set to False, the bus behaves as a broker that is away, until it is True again.
    """

    def __init__(self, partitions: int = 1, clock: Clock | None = None) -> None:
        self._partitions = partitions
        self._clock = clock or SystemClock()
        self._logs: dict[str, list[list[Message]]] = defaultdict(lambda: [[] for _ in range(partitions)])
        self._changed = asyncio.Event()
        self._up = True

    @property
    def up(self) -> bool:
        """Whether the bus can be reached."""
        return self._up

    @up.setter
    def up(self, value: bool) -> None:
        self._up = value
        self._wake()

    async def publish(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        *,
        deadline_s: float = 5.0,
    ) -> None:
        """Store a record; see `EventPublisher`."""
        if len(value or b"") > MAX_RECORD_BYTES:
            raise PublishRejectedError(f"the record has more than {MAX_RECORD_BYTES} bytes")
        deadline = self._clock.monotonic() + deadline_s
        while not self._up:
            left_s = deadline - self._clock.monotonic()
            if left_s <= 0:
                raise PublishError(f"the bus was away for {deadline_s:g} s")
            await self._wait_for_change(left_s)
        self._append(topic, key, value, headers)
        await asyncio.sleep(0)

    def records(self, topic: str) -> list[Message]:
        """Return every record of a topic, partition by partition."""
        return [message for partition in self._logs[topic] for message in partition]

    def reset(self, topic: str) -> None:
        """Lose every record of a topic, as a broker that was set up anew."""
        self._logs.pop(topic, None)
        self._wake()

    def reader(
        self,
        topics: Iterable[str],
        apply: Apply,
        on_rebuild: Callable[[], None] | None = None,
        *,
        on_bad: OnBad | None = None,
        names: Names | None = None,
    ) -> MemoryReader:
        """Return a reader of topics; it reads once its `run` is running."""
        read = names.topics(topics) if names else tuple(topics)
        return MemoryReader(self, read, Intake(apply, on_bad, self._clock, names), on_rebuild)

    def partitions(self, topic: str) -> list[list[Message]]:
        """Return the logs of a topic's partitions."""
        return self._logs[topic]

    def next_change(self) -> asyncio.Event:
        """Return the event that is set at the next change of any log."""
        return self._changed

    def _append(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> None:
        number = zlib.crc32(key or b"") % self._partitions
        log = self._logs[topic][number]
        now_ms = int(self._clock.now().timestamp() * 1000)
        log.append(Message(topic, key, value, tuple(headers), number, len(log), now_ms))
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _wait_for_change(self, seconds: float) -> None:
        waits = [asyncio.create_task(self._changed.wait()), asyncio.ensure_future(self._clock.sleep(seconds))]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()


class MemoryReader:
    """A `Reader` of a `MemoryBus`."""

    def __init__(
        self, bus: MemoryBus, topics: tuple[str, ...], intake: Intake, on_rebuild: Callable[[], None] | None
    ) -> None:
        self._bus = bus
        self._topics = topics
        self._intake = intake
        self._on_rebuild = on_rebuild or (lambda: None)
        self._next: dict[tuple[str, int], int] = {}
        self._caught_up = asyncio.Event()

    @property
    def caught_up(self) -> bool:
        """Whether everything that was there at the start has been applied."""
        return self._caught_up.is_set()

    @property
    def bad_messages(self) -> int:
        """How many messages could not be applied."""
        return self._intake.bad_messages

    async def wait_caught_up(self) -> None:
        """Return when `caught_up` holds."""
        await self._caught_up.wait()

    def last_record_age_s(self) -> float | None:
        """Return seconds since the newest record was written, or None if none came yet."""
        return self._intake.last_record_age_s()

    async def run(self) -> None:
        """Read for ever."""
        while True:
            changed = self._bus.next_change()
            if self._bus.up:
                await self._read()
            await changed.wait()

    async def _read(self) -> None:
        if any(self._next.get(place, 0) > len(log) for place, log in self._logs()):
            self._caught_up.clear()
            self._next.clear()
            self._on_rebuild()
        for place, log in self._logs():
            for message in log[self._next.get(place, 0) :]:
                await self._intake.take(message)
                self._next[place] = message.offset + 1
        self._caught_up.set()

    def _logs(self) -> list[tuple[tuple[str, int], list[Message]]]:
        return [
            ((topic, number), log)
            for topic in self._topics
            for number, log in enumerate(self._bus.partitions(topic))
        ]
