from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from resilience_contracts import Level, Topic
from resilience_runtime import MemoryBus
from tests.contracts.states import level_state
from tests.flag_service.running import HandedLease, running, tell, until

DLQ = f"{Topic.HOLDS}.dlq"
HELD = "integrations.ai_assistant"


@pytest.fixture
async def bus() -> MemoryBus:
    bus = MemoryBus()
    await tell(bus, level_state(Level.OPTIMAL, at=datetime.now(UTC)))
    return bus


async def break_in(bus: MemoryBus, text: bytes) -> None:
    await bus.publish(Topic.HOLDS, f"default/{HELD}".encode(), text)


def letters(bus: MemoryBus) -> list[bytes | None]:
    return [letter.value for letter in bus.records(DLQ)]


def noted(directory: Path, offset: int) -> bool:
    """Say whether the snapshot has that letters were sent for all records before an offset."""
    file = directory / "flag-service.json"
    return file.exists() and f'"{Topic.HOLDS}/0":{offset}' in file.read_text()


async def test_a_restart_sends_letters_only_for_what_came_meanwhile(bus: MemoryBus, tmp_path: Path) -> None:
    await break_in(bus, b"before")
    async with running(bus, tmp_path) as first:
        await first.until_ready()
        await break_in(bus, b"live")
        await until(lambda: noted(tmp_path, 2))
    await break_in(bus, b"meanwhile")

    for _ in range(2):
        async with running(bus, tmp_path) as again:
            await again.until_ready()
            await until(lambda: noted(tmp_path, 3))

    assert letters(bus) == [b"before", b"live", b"meanwhile"]


async def test_no_letter_is_lost_while_nobody_leads(bus: MemoryBus, tmp_path: Path) -> None:
    async with (
        running(bus, tmp_path / "1", lease=HandedLease(held=False)) as one,
        running(bus, tmp_path / "2", "flags-2", lease=HandedLease(held=False)) as two,
    ):
        await one.until_ready()
        await two.until_ready()
        await break_in(bus, b"x")
        await break_in(bus, b"y")
        await tell(bus, level_state(Level.LIMITED, (1, 2), at=datetime.now(UTC)))
        for replica in (one, two):
            await replica.until_state(HELD, "DISABLED")
        await until(lambda: len(letters(bus)) == 4)

    assert sorted(letter or b"" for letter in letters(bus)) == [b"x", b"x", b"y", b"y"]


async def test_a_log_that_was_lost_is_looked_at_anew(bus: MemoryBus, tmp_path: Path) -> None:
    async with running(bus, tmp_path) as replica:
        await replica.until_ready()
        await break_in(bus, b"old")
        await break_in(bus, b"older")
        await until(lambda: len(letters(bus)) == 2)
        old_ms = bus.records(Topic.HOLDS)[0].timestamp_ms
        bus.reset(Topic.HOLDS)
        await until(
            lambda: datetime.now(UTC).timestamp() * 1000 >= old_ms + 1
        )  # what tells two of one offset apart
        await break_in(bus, b"new")
        await until(lambda: letters(bus)[-1] == b"new")
