from __future__ import annotations

import asyncio
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience_runtime import Backoff, Headers, ManualClock, MemoryBus, PublishQueue, PublishRejectedError
from tests.runtime.waiting import running

TOPIC = "some.topic"


class Choosy:
    """A bus that refuses some records for good."""

    def __init__(self, inner: MemoryBus, refused: bytes) -> None:
        self._inner = inner
        self._refused = refused

    async def publish(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        *,
        deadline_s: float = 5.0,
    ) -> None:
        if value == self._refused:
            raise PublishRejectedError
        await self._inner.publish(topic, key, value, headers, deadline_s=deadline_s)


def stored(bus: MemoryBus) -> list[bytes | None]:
    return [message.value for message in bus.records(TOPIC)]


async def test_what_is_offered_is_published_in_order() -> None:
    clock = ManualClock()
    bus = MemoryBus(clock=clock)
    queue = PublishQueue(bus, 10, clock)

    async with running(queue.run()):
        for number in range(5):
            queue.offer(TOPIC, b"key", str(number).encode())
        await clock.advance(1)

    assert stored(bus) == [b"0", b"1", b"2", b"3", b"4"]
    assert (queue.published, queue.dropped, len(queue)) == (5, 0, 0)


async def test_a_full_queue_drops_the_oldest_and_counts_it() -> None:
    clock = ManualClock()
    bus = MemoryBus(clock=clock)
    bus.up = False
    queue = PublishQueue(bus, 3, clock)

    async with running(queue.run()):
        for number in range(10):
            queue.offer(TOPIC, b"key", str(number).encode())
        await clock.advance(60)
        bus.up = True
        await clock.advance(60)

    assert stored(bus) == [b"7", b"8", b"9"]
    assert queue.dropped == 7


async def test_a_queue_outlasts_any_outage() -> None:
    clock = ManualClock()
    bus = MemoryBus(clock=clock)
    bus.up = False
    queue = PublishQueue(bus, 3, clock)

    async with running(queue.run()):
        queue.offer(TOPIC, b"key", b"patient")
        await clock.advance(3600)
        bus.up = True
        await clock.advance(10)

    assert stored(bus) == [b"patient"]


async def test_a_rejected_record_does_not_hold_up_the_next_one() -> None:
    clock = ManualClock()
    bus = MemoryBus(clock=clock)
    queue = PublishQueue(Choosy(bus, b"bad"), 10, clock)

    async with running(queue.run()):
        for value in (b"1", b"bad", b"2"):
            queue.offer(TOPIC, b"key", value)
        await clock.advance(1)

    assert stored(bus) == [b"1", b"2"]
    assert queue.rejected == 1


async def test_the_end_makes_one_last_try_for_what_waits() -> None:
    bus = MemoryBus()
    bus.up = False
    queue = PublishQueue(bus, 10)
    task = asyncio.create_task(queue.run())
    queue.offer(TOPIC, b"key", b"last words")
    await asyncio.sleep(0)

    bus.up = True
    task.cancel()
    await asyncio.wait({task})

    assert stored(bus) == [b"last words"]


def test_a_queue_holds_at_least_one() -> None:
    with pytest.raises(ValueError, match="at least one"):
        PublishQueue(MemoryBus(), 0)


@given(
    capacity=st.integers(1, 5),
    steps=st.lists(st.sampled_from(["offer", "down", "up", "wait"]), max_size=30),
)
def test_the_order_is_kept_and_every_record_is_stored_or_dropped(capacity: int, steps: list[str]) -> None:
    async def scenario() -> None:
        clock = ManualClock()
        bus = MemoryBus(clock=clock)
        queue = PublishQueue(bus, capacity, clock, random=Random(1))
        offered = 0
        async with running(queue.run()):
            for step in [*steps, "up"]:
                if step == "offer":
                    queue.offer(TOPIC, b"key", str(offered).encode())
                    offered += 1
                elif step == "wait":
                    await clock.advance(1)
                else:
                    bus.up = step == "up"
            await clock.advance(60)
        numbers = [int(value or b"") for value in stored(bus)]
        assert numbers == sorted(set(numbers))
        assert len(numbers) + queue.dropped == offered

    asyncio.run(scenario())


@given(st.integers(0, 2**32), st.integers(1, 100))
def test_a_delay_grows_to_its_bound_and_is_never_zero(seed: int, attempts: int) -> None:
    backoff = Backoff(Random(seed), first_s=0.1, most_s=2)

    delays_s = [backoff.next_s() for _ in range(attempts)]

    assert all(0.05 <= delay_s <= 2 for delay_s in delays_s)
    assert delays_s[0] <= 0.1
    backoff.reset()
    assert backoff.next_s() <= 0.1
