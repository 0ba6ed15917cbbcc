from __future__ import annotations

import asyncio
import functools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilience_guards import SingleFlight


@settings(deadline=None, max_examples=60)
@given(cancelled=st.lists(st.booleans(), min_size=1, max_size=12))
def test_whoever_is_not_cancelled_gets_the_one_result(cancelled: list[bool]) -> None:
    async def run() -> None:
        flights: SingleFlight[str, int] = SingleFlight()
        calls, release = 0, asyncio.Event()

        async def call() -> int:
            nonlocal calls
            calls += 1
            await release.wait()
            return 7

        waiters = [asyncio.create_task(flights.do("key", call)) for _ in cancelled]
        await asyncio.sleep(0)
        for waiter, cancel in zip(waiters, cancelled, strict=True):
            if cancel:
                waiter.cancel()
        await asyncio.sleep(0)
        release.set()
        results = await asyncio.gather(*waiters, return_exceptions=True)

        assert calls == 1
        for result, cancel in zip(results, cancelled, strict=True):
            assert isinstance(result, asyncio.CancelledError) if cancel else result == 7
        assert len(flights) == 0

    asyncio.run(run())


async def test_an_error_goes_to_all_and_is_not_kept() -> None:
    flights: SingleFlight[str, int] = SingleFlight()
    answers = [OSError("down"), None]

    async def call() -> int:
        await asyncio.sleep(0)
        error = answers.pop(0)
        if error:
            raise error
        return 1

    results = await asyncio.gather(*(flights.do("key", call) for _ in range(3)), return_exceptions=True)

    assert [str(result) for result in results] == ["down"] * 3
    assert await flights.do("key", call) == 1


async def test_keys_do_not_wait_for_one_another() -> None:
    flights: SingleFlight[int, int] = SingleFlight()

    async def call(number: int) -> int:
        await asyncio.sleep(0)
        return number

    assert await asyncio.gather(*(flights.do(key, functools.partial(call, key)) for key in range(5))) == [
        *range(5)
    ]


async def test_when_the_last_waiter_leaves_the_call_is_cancelled_and_the_next_starts_anew() -> None:
    flights: SingleFlight[str, int] = SingleFlight()
    cancelled = asyncio.Event()

    async def forever() -> int:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return 0

    async def once() -> int:
        return 1

    waiter = asyncio.create_task(flights.do("key", forever))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter

    assert await flights.do("key", once) == 1
    await asyncio.wait_for(cancelled.wait(), 1)
