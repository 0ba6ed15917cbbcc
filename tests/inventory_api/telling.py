"""What inventory-api tells, over an in-memory bus behind a real port; for tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path
from random import Random
from typing import Any

import httpx

from inventory_api.adapters.news_feed import TOPICS, news_of, place_of
from inventory_api.domain.news import News, Novelty
from inventory_api.http.app import open_live
from inventory_api.live import LivePart, Sources, build_live
from inventory_api.settings import Settings
from resilience_contracts import (
    BackInStock,
    Event,
    FeatureState,
    Level,
    LowStock,
    PlaceStock,
    StockState,
    Topic,
    encode,
)
from resilience_delivery import serve_streams
from resilience_runtime import MemoryBus, SystemClock, serve
from resilience_runtime.ending import end
from tests.contracts.states import level_state
from tests.flag_service.running import HandedLease, Stream, until
from tests.inventory_api.test_http import Bench

LOOPBACK = (ip_network("127.0.0.0/8"),)
WAIT_S = 20.0


class BusArchive:
    """The topics of a bus, a few records at a time."""

    def __init__(self, bus: MemoryBus, most: int = 3) -> None:
        self._bus = bus
        self._most = most
        self.reads = 0

    async def read(self, position: Mapping[str, int]) -> tuple[Sequence[News], dict[str, int]]:
        self.reads += 1
        waiting = [
            record
            for topic in TOPICS
            for record in self._bus.records(topic)
            if record.offset >= position.get(place_of(record), 0)
        ]
        reached, novelty = dict(position), Novelty(100)
        for record in waiting[: self._most]:
            reached[place_of(record)] = record.offset + 1
        read = (news_of(record, novelty) for record in waiting[: self._most])
        return [news for news in read if news], reached


@dataclass(frozen=True, slots=True)
class Teller:
    """A running replica, and a client of it."""

    bus: MemoryBus
    bench: Bench
    part: LivePart
    client: httpx.AsyncClient
    archive: BusArchive

    @asynccontextmanager
    async def listening(self, query: str = "", last_id: str | None = None) -> AsyncIterator[Stream]:
        """Open the event stream."""
        headers = {"Last-Event-ID": last_id} if last_id is not None else {}
        path = f"/v1/stream{query}"
        async with self.client.stream("GET", path, headers=headers, timeout=WAIT_S) as answer:
            assert answer.status_code == 200, await answer.aread()
            yield Stream(answer.aiter_lines())

    def set_features(self, version: int, **states: FeatureState) -> None:
        """Set a level at which features have these states, dots written as two underscores."""
        features = {name.replace("__", "."): state for name, state in states.items()}
        self.bench.view.apply_level(level_state(Level.OPTIMAL, (7, version), datetime.now(UTC), features))


@asynccontextmanager
async def telling(
    bus: MemoryBus,
    directory: Path,
    *,
    lease: HandedLease | None = None,
    **options: Any,
) -> AsyncIterator[Teller]:
    """Run a replica, with every feature enabled."""
    bench, archive = Bench(), BusArchive(bus)
    key = directory / "shared.key"
    key.write_text("k" * 40)

    def read_webhooks(apply: Any, forget: Callable[[], None]) -> Any:
        return bus.reader((Topic.STOCK_WEBHOOKS,), apply, forget)

    sources = Sources(
        publisher=bus,
        read_news=lambda apply, forget, _: bus.reader(TOPICS, apply, forget),
        read_webhooks=read_webhooks,
        archive=archive,
        lease=lease or HandedLease(),
    )
    settings = Settings(
        state_dir=directory, signing_key_file=key, webhook_allowed_networks=LOOPBACK, **options
    )
    part = build_live(settings, bench.switches, sources, SystemClock(), Random(1))
    open_live(bench.app, part.live)
    tasks = [asyncio.create_task(task()) for task in part.tasks]
    bound: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    serving = serve(bench.app, "127.0.0.1", 0, on_bound=bound.set_result)
    tasks.append(asyncio.create_task(serve_streams(part.streams, serving)))
    try:
        url = f"http://127.0.0.1:{await bound}"
        async with httpx.AsyncClient(base_url=url, timeout=WAIT_S, trust_env=False) as client:
            teller = Teller(bus, bench, part, client, archive)
            teller.set_features(1)
            await until(part.live.reading)
            yield teller
    finally:
        for task in reversed(tasks):
            await end(task)


async def tell(bus: MemoryBus, *events: Event) -> None:
    """Publish events as the relay would."""
    for event in events:
        await bus.publish(*encode(event, "/services/inventory-api/other"))


def low(sku: str = "TEE", location: str = "shop", version: int = 1) -> LowStock:
    return LowStock(
        sku=sku,
        location=location,
        available=2,
        reorder_point=5,
        version=version,
        crossed_at=datetime.now(UTC),
    )


def back(sku: str = "TEE", location: str = "shop", version: int = 2) -> BackInStock:
    return BackInStock(
        sku=sku,
        location=location,
        available=9,
        reorder_point=5,
        version=version,
        crossed_at=datetime.now(UTC),
    )


def stock(sku: str = "TEE", **available: int) -> StockState:
    """Return the state of a SKU with so many at each location."""
    version = sum(available.values()) + 1
    places = tuple(
        PlaceStock(
            location=name,
            on_hand=count,
            reserved=0,
            incoming=0,
            safety_stock=0,
            reorder_point=5,
            available=count,
            version=version,
        )
        for name, count in available.items()
    )
    return StockState(
        sku=sku,
        sequence=version,
        available=sum(available.values()),
        locations=places,
        as_of=datetime.now(UTC),
    )
