"""Places for calls at once, given to whoever matters most."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from inventory_api.adapters.sql.slots import Slots


async def test_who_goes_first_has_the_next_place_and_the_others_keep_their_order() -> None:
    slots, served = Slots(1), list[str]()

    async def call(name: str, *, first: bool) -> None:
        await slots.acquire(first=first)
        served.append(name)
        slots.release()

    await slots.acquire()
    waiting = [
        asyncio.create_task(call(name, first=name.startswith("confirm")))
        for name in ("hold-1", "hold-2", "confirm-1", "confirm-2")
    ]
    await asyncio.sleep(0)
    slots.release()
    await asyncio.gather(*waiting)

    assert served == ["confirm-1", "confirm-2", "hold-1", "hold-2"]


async def test_a_place_that_is_given_to_somebody_who_has_just_given_up_goes_to_the_next() -> None:
    slots = Slots(1)
    await slots.acquire()
    impatient = asyncio.create_task(slots.acquire(first=True))
    patient = asyncio.create_task(slots.acquire())
    await asyncio.sleep(0)

    slots.release()
    impatient.cancel()

    await asyncio.wait_for(patient, 1)
    assert impatient.cancelled()


async def test_whoever_gave_up_is_passed_over() -> None:
    slots = Slots(1)
    await slots.acquire()
    impatient = asyncio.create_task(slots.acquire())
    patient = asyncio.create_task(slots.acquire())
    await asyncio.sleep(0)
    impatient.cancel()
    await asyncio.wait({impatient})

    slots.release()

    await asyncio.wait_for(patient, 1)


@given(
    st.integers(1, 4), st.lists(st.sampled_from(["take", "take first", "give up", "give back"]), max_size=60)
)
def test_there_are_never_more_than_that_and_none_is_lost(count: int, steps: list[str]) -> None:
    async def play() -> None:
        slots, tasks = Slots(count), list[asyncio.Task[None]]()

        def having() -> list[asyncio.Task[None]]:
            return [task for task in tasks if task.done() and not task.cancelled()]

        for step in steps:
            if step.startswith("take"):
                tasks.append(asyncio.create_task(slots.acquire(first=step == "take first")))
            elif step == "give up" and (waiting := [task for task in tasks if not task.done()]):
                waiting[-1].cancel()
            elif step == "give back" and (had := having()):
                tasks.remove(had[0])
                slots.release()
            if len(tasks) % 2:
                await asyncio.sleep(0)
            assert len(having()) <= count
        for _ in range(3):
            await asyncio.sleep(0)
        waiting = [task for task in tasks if not task.done()]
        assert not waiting or len(having()) == count
        for task in waiting:
            task.cancel()

    asyncio.run(play())
