from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience_runtime.http_intake import CROWD, FEW, STEPS, TURN_S, Intake


class Time:
    """Monotonic seconds that go on by reading."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Connection:
    """Notes what it read and when, which takes some time."""

    def __init__(self, name: str, time: Time, notes: list[str], takes_s: float = 0.0) -> None:
        self._name, self._time, self._notes, self._takes_s = name, time, notes, takes_s

    def read(self, data: bytes) -> None:
        self._time.now_s += self._takes_s
        self._notes.append(f"{self._name}{data.decode()}")


async def _steps(count: int, notes: list[str]) -> None:
    for _ in range(count):
        await asyncio.sleep(0)
        notes.append("step")


async def test_what_comes_is_read_in_the_order_in_which_it_came_but_for_what_goes_first() -> None:
    time, notes = Time(), list[str]()
    intake, one, other = Intake(time), Connection("a", time, notes), Connection("b", time, notes)

    intake.put(one, b"1")
    intake.put(other, b"1")
    intake.put(one, b"2")
    intake.put(Connection("c", time, notes), b"1", first=True)
    assert (len(intake), notes) == (4, [])
    await asyncio.sleep(0)

    assert notes == ["c1", "a1", "b1", "a2"]
    assert len(intake) == 0


async def test_between_two_turns_others_go_on() -> None:
    time, notes = Time(), list[str]()
    intake, slow = Intake(time), Connection("a", time, notes, TURN_S / 2)

    for number in range(4):
        intake.put(slow, str(number).encode())
    await _steps(STEPS, notes)
    assert notes == ["a0", "a1", *["step"] * STEPS]
    for _ in range(2):
        await asyncio.sleep(0)

    assert notes[2 + STEPS :] == ["a2", "a3"]


async def test_where_a_crowd_waits_it_is_read_without_rest() -> None:
    time, notes = Time(), list[str]()
    intake, slow = Intake(time), Connection("a", time, notes, TURN_S)

    for number in range(CROWD + 2):
        intake.put(slow, str(number).encode())
    await _steps(3, notes)

    assert notes == ["a0", "step", "a1", "step", "a2", "step"]


@pytest.mark.parametrize(("before", "waits"), [(FEW, 0), (FEW + 1, STEPS)])
async def test_what_comes_in_a_rest_is_read_after_it_and_after_few_there_is_none(
    before: int, waits: int
) -> None:
    time, notes = Time(), list[str]()
    intake, one = Intake(time), Connection("a", time, notes)

    for _ in range(before):
        intake.put(one, b"1")
    await asyncio.sleep(0)
    intake.put(one, b"2")
    await _steps(STEPS + 2, notes)
    intake.put(one, b"3")
    await _steps(2, notes)

    assert notes[before:].index("a2") == waits
    assert "a3" in notes


async def test_what_comes_while_others_wait_may_go_first() -> None:
    time, notes = Time(), list[str]()
    intake, slow = Intake(time), Connection("a", time, notes, TURN_S)

    for number in range(3):
        intake.put(slow, str(number).encode())
    await asyncio.sleep(0)
    intake.put(Connection("b", time, notes, TURN_S), b"1", first=True)
    for _ in range(3 * (STEPS + 2)):
        await asyncio.sleep(0)

    assert notes == ["a0", "b1", "a1", "a2"]


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.floats(0, 2 * TURN_S)), max_size=40))
def test_everything_is_read_once_and_each_connection_in_its_order(
    came: list[tuple[int, bool, float]],
) -> None:
    async def play() -> list[str]:
        time, notes = Time(), list[str]()
        intake = Intake(time)
        for number, (name, pause, takes_s) in enumerate(came):
            intake.put(Connection(f"{name}-", time, notes, takes_s), str(number).encode())
            if pause:
                await asyncio.sleep(0)
        for _ in range(len(came) * (STEPS + 2)):
            await asyncio.sleep(0)
        return notes

    notes = asyncio.run(play())

    assert notes == [f"{name}-{number}" for number, (name, *_) in enumerate(came)]
