"""States told again, through the real outbox of a real database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from inventory_api.adapters.sql import outbox
from resilience_cli import republish as republishing
from resilience_cli.errors import StackError
from resilience_cli.main import run
from resilience_cli.republish import republish
from resilience_cli.stack import free_ports, run_apart
from resilience_contracts import Event, StockState
from tests.cli.test_backup import FILL, execute, value
from tests.inventory_api.databases import migrate

WAITING = "SELECT count(*) FROM outbox"


@pytest.fixture
def stock_url(database_url: str) -> str:
    """A database with fifty SKUs whose changes were all published."""
    migrate(database_url)
    run_apart(execute(database_url, FILL))
    run_apart(execute(database_url, "DELETE FROM outbox"))
    return database_url


@asynccontextmanager
async def publishing(url: str) -> AsyncIterator[list[Event]]:
    """Empty the outbox as inventory-api does; gives what it would publish."""
    connection = await asyncpg.connect(url)
    published: list[Event] = []

    async def publish() -> None:
        while True:
            taken = await outbox.take(connection)
            published.extend(event for events in taken.events for event in events)
            await outbox.forget(connection, taken.ids)
            await asyncio.sleep(0.01)

    task = asyncio.create_task(publish())
    try:
        yield published
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await connection.close()


async def test_the_state_of_each_sku_is_published_once_and_nothing_else(
    stock_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(republishing, "BATCH", 20)
    told: list[tuple[int, int | None]] = []
    async with publishing(stock_url) as published:
        done = await republish(stock_url, lambda done, of: told.append((done, of)))

    assert done == 50
    assert told == [(0, 50), (20, 50), (40, 50), (50, 50)]
    states = {event.sku: event for event in published if isinstance(event, StockState)}
    assert len(published) == len(states) == 50
    assert {(state.available, state.sequence) for state in states.values()} == {(7, 1)}
    assert await value(stock_url, WAITING) == 0


async def test_where_nobody_publishes_it_ends_with_one_batch_waiting(
    stock_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(republishing, "BATCH", 20)
    with pytest.raises(StackError, match=r"has published nothing for 0\.3 s, 20 changes wait") as caught:
        await republish(stock_url, lambda *_: None, stuck_s=0.3)

    assert "resilience topics apply" in caught.value.remedy
    assert await value(stock_url, WAITING) == 20


def test_without_stock_nothing_is_published(
    database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    migrate(database_url)
    monkeypatch.setenv("DATABASE_URL", database_url)

    assert run(["stock", "republish", "--json"]) == 0
    assert capsys.readouterr().out == '{"skus": 0}\n'


def test_what_is_no_stock_database_is_refused_in_one_line(
    database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nobody = f"postgresql://me@127.0.0.1:{free_ports(1)[0]}/stock"
    for url, words in (
        (database_url, 'relation "stock_levels" does not exist'),
        (nobody, "does not answer"),
        ("https://shop.example", "DATABASE_URL is no address of a database"),
    ):
        monkeypatch.setenv("DATABASE_URL", url)
        assert run(["stock", "republish"]) == 3
        said = capsys.readouterr().err
        assert words in said
        assert said.count("\n") == 1
