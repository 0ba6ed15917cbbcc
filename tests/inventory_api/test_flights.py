from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory_api.application.flights import SIDE_BY_SIDE, Flights
from tests.runtime.waiting import until


class Shelf:
    """Brings every key but "none", once its gate is open; each call is noted with its keys."""

    def __init__(self) -> None:
        self.fetched: list[tuple[str, ...]] = []
        self.gate = asyncio.Event()
        self.flights = Flights(self._fetch)

    async def _fetch(self, keys: Sequence[str]) -> dict[str, str]:
        self.fetched.append(tuple(keys))
        await self.gate.wait()
        if "broken" in keys:
            raise ConnectionError
        return {key: key.upper() for key in keys if key != "none"}

    async def bring(self, *keys: str) -> dict[str, str]:
        found: dict[str, str] = {}
        for flight in self.flights.join(keys):
            found |= await flight
        return {key: found[key] for key in keys if key in found}

    async def occupy(self) -> list[asyncio.Task[dict[str, str]]]:
        """Fill the room with flights that wait for the gate."""
        waiting = []
        for number in range(SIDE_BY_SIDE):
            waiting.append(asyncio.create_task(self.bring(f"early-{number}")))
            await until(lambda: len(self.fetched) == len(waiting))
        return waiting


async def test_what_is_asked_for_at_once_is_fetched_together_and_once() -> None:
    shelf = Shelf()
    shelf.gate.set()

    found = tuple(await asyncio.gather(shelf.bring("a", "b"), shelf.bring("b", "c"), shelf.bring("none")))

    assert found == ({"a": "A", "b": "B"}, {"b": "B", "c": "C"}, {})
    assert shelf.fetched == [("a", "b", "c", "none")]


async def test_while_enough_is_under_way_all_others_share_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inventory_api.application.flights.PATIENCE_S", 60)
    shelf = Shelf()
    waiting = await shelf.occupy()
    late = [asyncio.create_task(shelf.bring(key)) for key in ("x", "y", "early-0")]
    await asyncio.sleep(0)

    shelf.gate.set()
    await asyncio.gather(*waiting, *late)

    assert shelf.fetched == [*((f"early-{number}",) for number in range(SIDE_BY_SIDE)), ("x", "y")]


async def test_what_does_not_come_back_keeps_nobody_waiting() -> None:
    shelf = Shelf()
    waiting = await shelf.occupy()

    late = asyncio.create_task(shelf.bring("x"))
    await until(lambda: shelf.fetched[-1] == ("x",))

    assert not any(task.done() for task in waiting)
    shelf.gate.set()
    assert await late == {"x": "X"}


async def test_who_shares_a_flight_that_fails_hears_of_it_and_the_next_is_not_held_back() -> None:
    shelf = Shelf()
    shelf.gate.set()

    for _ in range(SIDE_BY_SIDE + 1):
        results = await asyncio.gather(shelf.bring("a"), shelf.bring("broken"), return_exceptions=True)
        assert [type(result) for result in results] == [ConnectionError, ConnectionError]

    assert await shelf.bring("a") == {"a": "A"}
    assert shelf.flights._by_key == {}


@given(st.lists(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=4), max_size=20))
def test_whoever_asks_gets_exactly_what_was_asked_for(asked: list[list[str]]) -> None:
    async def ask() -> None:
        shelf = Shelf()
        shelf.gate.set()
        found = await asyncio.gather(*(shelf.bring(*keys) for keys in asked))
        assert found == [{key: key.upper() for key in keys} for keys in asked]
        assert shelf.flights._by_key == {}

    asyncio.run(ask())
