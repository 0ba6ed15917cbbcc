"""Writes over several processes on real Kafka and PostgreSQL: samples of the benches, and what is published."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from random import Random

import asyncpg
import httpx
import pytest

from degradation_engine.adapters.shelf import partition_of
from inventory_api.adapters.sql.audits import AUDITS
from resilience_cli.backup import back_up
from resilience_cli.errors import StackError
from resilience_cli.restore import restore
from resilience_cli.stack import run_apart
from resilience_contracts import BackInStock, Event, LedgerRecorded, LowStock, StockState, Topic, decode
from resilience_runtime import Message, ReplicaReader
from tests.bench.inventory_kills import RATE, kills
from tests.bench.inventory_mixed import mixed, storm
from tests.bench.inventory_replicas import Shop, running_shop
from tests.integration.inventory_writes_of_all_kinds import Client
from tests.integration.test_engine_losses import lose

KINDS = {StockState: "state", LedgerRecorded: "ledger"}

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    logs = Path(tmp_path_factory.mktemp("writes"))
    with running_shop(logs, 2, AUDIT_INTERVAL_S="0.5", COMMANDS_AGE_LIMIT_S="2", **RATE) as shop:
        yield shop


def test_a_storm_over_several_processes_sells_what_there_is(shop: Shop) -> None:
    assert asyncio.run(storm(shop, 20, 100)) == {201: 20, 409: 80}


def test_a_mixed_load_ends_with_right_books(shop: Shop) -> None:
    result = asyncio.run(mixed(shop, 5, 32))

    assert result.right, result
    assert metric(shop, "inventory_audit_violations{") == {0.0}


def metric(shop: Shop, start: str) -> set[float]:
    """Return the values of a metric's series, over all processes."""
    urls = [shop.replicas[0].metrics_url]
    urls.append(shop.stack.metrics_url("inventory-api"))
    end_s = time.monotonic() + 20
    while True:
        text = "\n".join(httpx.get(url, timeout=5, trust_env=False).text for url in urls)
        found = {float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(start)}
        if found or time.monotonic() > end_s:
            return found
        time.sleep(0.2)


def post(shop: Shop, path: str, body: object) -> httpx.Response:
    answer = httpx.post(f"{shop.urls[0]}/v1{path}", json=body, timeout=10, trust_env=False)
    assert answer.is_success, answer.text
    return answer


async def published(shop: Shop, sku: str, changes: int) -> list[Event]:
    """Return the events of a SKU once so many changes of its one level are out, and the state after them."""
    events: list[Event] = []
    seen = asyncio.Event()

    def apply(message: Message) -> None:
        if message.key == sku.encode():
            event = decode(message.value, message.headers).event
            events.append(event)
            waited = {("state", changes + 1), ("ledger", changes)}
            if waited <= {(KINDS.get(type(each), ""), getattr(each, "sequence", 0)) for each in events}:
                seen.set()

    reader = ReplicaReader(shop.stack.bootstrap, (Topic.STOCK, Topic.CHANGES), apply)
    reading = asyncio.create_task(reader.run())
    try:
        async with asyncio.timeout(30):
            await seen.wait()
    finally:
        reading.cancel()
        await asyncio.wait({reading})
    return events


def test_every_change_is_published_in_order_and_each_edge_once_b21(shop: Shop) -> None:
    sku = f"0017-{uuid.uuid4().hex[:12]}"
    httpx.post(
        f"{shop.urls[0]}/v1/locations", json={"code": "shop", "name": "Shop"}, timeout=10, trust_env=False
    )
    post(shop, "/skus", {"sku": sku, "name": "Tee", "reorder_point": 4})
    deltas = [6, -1, -1, -1, 2, -1, -4, 6]  # 6 5 4 3 5 4 0 6: low at 4 twice, as 5 arms it again
    for delta in deltas:
        body = {"sku": sku, "location": "shop", "delta": delta, "reason": "CORRECTION"}
        post(shop, "/adjustments", body)

    events = asyncio.run(published(shop, sku, len(deltas)))

    ledger = [event for event in events if isinstance(event, LedgerRecorded)]
    assert [event.delta for event in ledger] == deltas
    assert [event.sequence for event in ledger] == list(range(1, len(deltas) + 1))
    states = [event for event in events if isinstance(event, StockState)]
    assert [state.sequence for state in states] == sorted(state.sequence for state in states)
    assert states[-1].locations[0].on_hand == states[-1].available == sum(deltas)
    lows = [event.available for event in events if isinstance(event, LowStock)]
    backs = [event.available for event in events if isinstance(event, BackInStock)]
    assert (lows, backs) == ([4, 4], [6, 6])


TABLES = """
    SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = 'keep_redo_insert' ORDER BY 1
"""
ROWS = "SELECT to_json(t)::text FROM {} t"


async def content(url: str) -> dict[str, list[str]]:
    """Return the rows of every table that a restore must bring back, once all of them are in the log."""
    connection = await asyncpg.connect(url)
    try:
        async with asyncio.timeout(60):
            while await connection.fetchval("SELECT count(*) FROM redo"):  # noqa: ASYNC110 - another process empties it
                await asyncio.sleep(0.05)
        return {
            name: sorted(row[0] for row in await connection.fetch(ROWS.format(name)))
            for (name,) in await connection.fetch(TABLES)
        }
    finally:
        await connection.close()


async def violations(url: str) -> dict[str, int]:
    connection = await asyncpg.connect(url)
    try:
        return {
            name: number for name, query in AUDITS.items() if (number := await connection.fetchval(query))
        }
    finally:
        await connection.close()


async def destroy(url: str) -> None:
    """Lose the database with all its data."""
    server, _, name = url.rpartition("/")
    connection = await asyncpg.connect(f"{server}/postgres")
    try:
        await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        await connection.close()


def told_again(client: Client) -> list[str]:
    """Repeat every write under its key; return the keys whose answer is another than the first."""
    return [
        key
        for key, (path, body, answer) in client.told.items()
        if answer.status_code != 202 and client.send(key, path, body).content != answer.content
    ]


def await_applied(client: Client) -> None:
    """Wait until what was accepted for later is applied."""
    end_s = time.monotonic() + 60
    for _, _, answer in client.told.values():
        if answer.status_code != 202:
            continue
        where = f"{client.url}{answer.headers['Location']}"
        while (found := httpx.get(where, timeout=10, trust_env=False).json()).get("status") != "applied":
            assert time.monotonic() < end_s, found
            time.sleep(0.1)


def test_nothing_accepted_is_lost_with_the_database(shop: Shop, tmp_path: Path) -> None:
    url, file, run = shop.database_url, tmp_path / "stock.dump", uuid.uuid4().hex[:8]
    before = Client(shop.urls[0], f"before-{run}")
    before.write_of_all_kinds()
    run_apart(back_up(url, file))
    after = Client(shop.urls[1], f"after-{run}")
    sku = after.write_of_all_kinds()
    before.post("/adjustments", {**before.told[f"before-{run}-3"][1], "delta": 1})  # type: ignore[dict-item]
    was = run_apart(content(url))

    run_apart(destroy(url))
    after.queue(sku)
    restored = run_apart(restore(url, file, shop.stack.bootstrap))

    assert (restored.old, restored.statements > 40) == (None, True)
    await_applied(after)
    assert told_again(before) == told_again(after) == []
    assert run_apart(violations(url)) == {}
    found = run_apart(content(url))
    for table, rows in was.items():
        grown = {"ledger": 2, "answers": 2, "operations": 2}.get(table, 0)
        assert len(found[table]) == len(rows) + grown, table
        if table != "stock_levels":
            assert set(rows) <= set(found[table]), table

    # Once more from the same backup: through both lives of the database, and over one that is still there.
    again = run_apart(restore(url, file, shop.stack.bootstrap))

    assert again.old is not None
    assert run_apart(content(url)) == found
    assert run_apart(violations(url)) == {}


async def one(url: str, query: str, *arguments: object) -> int:
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval(query, *arguments) or 0)
    finally:
        await connection.close()


def test_commands_of_a_log_that_began_anew_are_applied_from_its_start(shop: Shop) -> None:
    client = Client(shop.urls[0], f"anew-{uuid.uuid4().hex[:8]}")
    sku = client.write_of_all_kinds()
    queue_without_postgresql(shop, client, sku, 1)
    applied = "SELECT next_offset FROM command_offsets WHERE partition = $1"
    partition = partition_of(sku.encode(), 6)
    position = run_apart(one(shop.database_url, applied, partition))
    assert position >= 2

    run_apart(lose(shop.stack.bootstrap, Topic.COMMANDS))
    queue_without_postgresql(
        shop, client, sku, position
    )  # two each: the new log is longer than what was applied

    assert run_apart(one(shop.database_url, applied, partition)) == 2 * position
    assert run_apart(violations(shop.database_url)) == {}


def queue_without_postgresql(shop: Shop, client: Client, sku: str, rounds: int) -> None:
    shop.kill("postgresql")
    for _ in range(rounds):
        client.queue(sku)
    shop.restore("postgresql")
    await_applied(client)


def test_a_backup_of_before_kafka_was_lost_is_not_brought_up_to_date(shop: Shop, tmp_path: Path) -> None:
    url, file, run = shop.database_url, tmp_path / "stock.dump", uuid.uuid4().hex[:8]
    run_apart(
        lose(shop.stack.bootstrap, Topic.WRITES)
    )  # a short log, so that little makes the next one longer
    post(shop, "/skus", {"sku": f"old-{run}", "name": "Tee"})
    was = run_apart(content(url))
    run_apart(back_up(url, file))
    position = run_apart(one(url, "SELECT next_offset FROM redo_log"))
    run_apart(lose(shop.stack.bootstrap, Topic.WRITES))
    rounds = 0
    while rounds == 0 or run_apart(one(url, "SELECT next_offset FROM redo_log")) != position:
        post(shop, "/skus", {"sku": f"new-{run}-{rounds}", "name": "Tee"})
        run_apart(content(url))  # published
        rounds += 1

    with pytest.raises(StackError, match="not the log that it was"):
        run_apart(restore(url, file, shop.stack.bootstrap))

    assert set(was["skus"]) < set(run_apart(content(url))["skus"])
    run_apart(back_up(url, file))
    run_apart(restore(url, file, shop.stack.bootstrap))
    assert run_apart(one(url, "SELECT count(*) FROM skus")) == len(was["skus"]) + rounds


def test_what_was_accepted_survives_kills_of_everything(shop: Shop) -> None:
    targets = [["postgresql", "replica-2"], ["kafka"], ["postgresql", "inventory-api"]]

    result = asyncio.run(kills(shop, targets, (0.2, 0.5), Random(3), pace_s=0.1))

    assert result.right, result
    assert result.kills == 5
    assert min(result.direct, result.queued) > 0, result
