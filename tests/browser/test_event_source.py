"""A browser's own EventSource on our stream, through a network that is cut."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page

from resilience_contracts import Level
from resilience_runtime import MemoryBus
from tests.browser.cut import relayed
from tests.contracts.states import level_state
from tests.flag_service.running import READ_KEY, Replica, running, tell, until

pytestmark = [pytest.mark.operations, pytest.mark.asyncio(loop_scope="module")]

LISTEN = """(url) => {
    window.seen = [];
    window.source = new EventSource(url);
    for (const kind of ["snapshot", "state"])
        source.addEventListener(kind, (event) => {
            const data = JSON.parse(event.data);
            const level = (data.scopes ? data.scopes[0] : data).level;
            seen.push([kind, level.version, event.lastEventId]);
        });
}"""


async def seen(page: Page) -> list[list[str]]:
    found: list[list[str]] = await page.evaluate("window.seen")
    return found


async def until_seen(page: Page, count: int) -> None:
    async def enough() -> bool:
        return len(await seen(page)) >= count

    await until(enough)


def port(replica: Replica) -> int:
    return int(replica.url.rpartition(":")[2])


async def change(bus: MemoryBus, replica: Replica, counter: int) -> None:
    """Let the level change, and wait until the service shows it."""
    state = level_state(Level(counter % 5), (1, counter), at=datetime.now(UTC))
    await tell(bus, state)

    async def shown() -> Any:
        levels = (await replica.client.get("/v1/levels", headers={"X-API-Key": READ_KEY})).json()["levels"]
        return levels and levels[0]["version"] == f"1.{counter}"

    await until(shown)


async def test_it_goes_on_after_a_cut_without_a_lost_or_a_doubled_change(page: Page, tmp_path: Path) -> None:
    bus = MemoryBus()
    async with (
        running(bus, tmp_path, on_port=True, closed_reads=True) as replica,
        relayed(port(replica)) as relay,
    ):
        await replica.until_ready()
        await change(bus, replica, 1)
        answer = await replica.client.post("/v1/stream-tokens", headers={"X-API-Key": READ_KEY})
        await page.goto(f"http://127.0.0.1:{relay.port}/health/live")
        await page.evaluate(LISTEN, f"/v1/stream?token={answer.json()['token']}")
        await until_seen(page, 1)
        await change(bus, replica, 2)
        await until_seen(page, 2)

        relay.cut()
        for counter in (3, 4, 5):
            await change(bus, replica, counter)
        await until(lambda: relay.refused)
        relay.connected = True
        await until_seen(page, 5)
        await change(bus, replica, 6)
        await until_seen(page, 6)
        found = await seen(page)

    assert [kind for kind, _, _ in found] == ["snapshot"] + ["state"] * 5
    assert [version for _, version, _ in found] == [f"1.{counter}" for counter in range(1, 7)]
    assert len({event_id for _, _, event_id in found}) == 6


async def test_a_restarted_service_gives_the_newest_state_first(page: Page, tmp_path: Path) -> None:
    bus = MemoryBus()
    async with running(bus, tmp_path, on_port=True) as first, relayed(port(first)) as relay:
        await first.until_ready()
        await change(bus, first, 1)
        await page.goto(f"http://127.0.0.1:{relay.port}/health/live")
        await page.evaluate(LISTEN, "/v1/stream")
        await until_seen(page, 1)

        relay.cut()
        async with running(bus, tmp_path / "next", boot="next", on_port=True) as second:
            await second.until_ready()
            await change(bus, second, 2)
            relay.target, relay.connected = port(second), True
            await until_seen(page, 2)
            found = await seen(page)

    assert [entry[:2] for entry in found] == [["snapshot", "1.1"], ["snapshot", "1.2"]]
