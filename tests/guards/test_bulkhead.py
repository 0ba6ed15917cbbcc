from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilience_guards import Bulkhead, BulkheadFull


@settings(deadline=None, max_examples=60)
@given(
    places=st.integers(1, 4),
    queue=st.integers(0, 4),
    cancels=st.lists(st.booleans(), min_size=1, max_size=20),
)
def test_never_more_inside_than_places_and_all_places_come_back(
    places: int, queue: int, cancels: list[bool]
) -> None:
    async def run() -> None:
        bulkhead, inside, most = Bulkhead(places, queue), 0, 0

        async def block() -> None:
            nonlocal inside, most
            async with bulkhead:
                inside += 1
                most = max(most, inside)
                try:
                    await asyncio.sleep(0)
                    await asyncio.sleep(0)
                finally:
                    inside -= 1

        tasks = []
        for cancel in cancels:
            tasks.append(asyncio.create_task(block()))
            await asyncio.sleep(0)
            assert bulkhead.waiting <= queue
            if cancel:
                tasks[len(tasks) // 2].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

        assert most <= places
        assert (bulkhead.free, bulkhead.waiting) == (places, 0)

    asyncio.run(run())


async def test_a_full_queue_refuses_at_once_and_a_wait_ends() -> None:
    bulkhead = Bulkhead(1, queue=1, wait_s=0.01)

    async with bulkhead:
        waiting = asyncio.create_task(bulkhead.__aenter__())
        await asyncio.sleep(0)
        with pytest.raises(BulkheadFull, match="All places"):
            await bulkhead.__aenter__()
        with pytest.raises(BulkheadFull):
            await waiting

    assert (bulkhead.free, bulkhead.waiting) == (1, 0)


async def test_first_come_first_served() -> None:
    bulkhead, order = Bulkhead(1, queue=5), []

    async def block(number: int) -> None:
        async with bulkhead:
            order.append(number)
            await asyncio.sleep(0)

    await asyncio.gather(*(block(number) for number in range(6)))

    assert order == [0, 1, 2, 3, 4, 5]


async def test_a_place_handed_to_a_waiter_cancelled_in_the_same_turn_is_not_lost() -> None:
    bulkhead = Bulkhead(1, queue=2)
    await bulkhead.__aenter__()
    waiting = asyncio.create_task(bulkhead.__aenter__())
    await asyncio.sleep(0)

    await bulkhead.__aexit__(None, None, None)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)

    assert bulkhead.free == 1
