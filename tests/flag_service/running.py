"""A whole flag service on a bus, behind a real port; for tests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from random import Random
from typing import Any

import httpx

from flag_service.main import Service, assemble
from flag_service.outside import Outside
from flag_service.settings import Settings
from resilience_contracts import Event, Policy, encode
from resilience_runtime import (
    Apply,
    Clock,
    DeadLetters,
    KeyRing,
    MemoryBus,
    MemoryReader,
    SystemClock,
    create_key,
    serve,
)
from resilience_runtime.intake import OnBad
from tests.contracts.states import POLICY

SOURCE = "/services/test/1"
WRITE_KEY, WRITE_ENTRY = create_key("olivia", frozenset({"write"}))
READ_KEY, READ_ENTRY = create_key("reader", frozenset({"read"}))
WAIT_S = 30.0
LOOPBACK = (ip_network("127.0.0.0/8"),)


@dataclass(slots=True)
class HandedLease:
    """A lease that a test hands from one replica to another."""

    held: bool = True

    async def run(self) -> None:
        """Nobody else stands."""


@dataclass(frozen=True, slots=True)
class Replica:
    """A running service and a client of it."""

    client: httpx.AsyncClient
    url: str
    service: Service

    async def put(
        self, target: str, *, scope: str = "default", key: str = WRITE_KEY, **asked: Any
    ) -> httpx.Response:
        """Ask for a hold."""
        headers = {"X-API-Key": key} | asked.pop("headers", {})
        body = {"reason": "the assistant invents prices"} | asked
        return await self.client.put(f"/v1/holds/{scope}/{target}", json=body, headers=headers)

    async def feature(self, key: str) -> dict[str, Any]:
        """Return a feature as it is shown."""
        answer = await self.client.get("/v1/features")
        features: list[dict[str, Any]] = answer.json()["features"]
        return next(feature for feature in features if feature["key"] == key)

    async def until_ready(self) -> None:
        """Wait until the topics have been read."""

        async def caught_up() -> bool:
            checks = (await self.client.get("/health/ready")).json()["checks"]
            return checks["caught_up"] is True

        await until(caught_up)

    async def until_state(self, key: str, state: str) -> dict[str, Any]:
        """Wait until a feature has a state."""

        async def shown() -> dict[str, Any] | None:
            feature = await self.feature(key)
            return feature if feature["state"] == state else None

        found: dict[str, Any] = await until(shown)
        return found


async def until(condition: Callable[[], Any], within_s: float = WAIT_S) -> Any:
    """Return what a condition gives, once it gives something."""
    async with asyncio.timeout(within_s):
        while True:
            found = condition()
            found = await found if asyncio.iscoroutine(found) else found
            if found:
                return found
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running(
    bus: MemoryBus,
    state_dir: Path,
    instance: str = "flags-1",
    *,
    boot: str = "boot",
    on_port: bool = False,
    policy: Policy = POLICY,
    lease: HandedLease | None = None,
    clock: Clock | None = None,
    **settings: Any,
) -> AsyncIterator[Replica]:
    """Run a replica on an in-memory bus; `on_port` for streams and for other clients than ours."""
    send_letter = partial(DeadLetters(bus).send, stage="apply")

    def open_reader(topics: Any, apply: Apply, on_rebuild: Callable[[], None], on_bad: OnBad) -> MemoryReader:
        return bus.reader(topics, apply, on_rebuild, on_bad=on_bad)

    outside = Outside(
        publisher=bus,
        open_reader=open_reader,
        open_recent=bus.reader,
        send_letter=send_letter,
        keys=KeyRing((WRITE_ENTRY, READ_ENTRY)),
        clock=clock or SystemClock(),
        rng=Random(1),
        boot=boot,
        lease=lease or HandedLease(),
    )
    service = assemble(Settings(state_dir=state_dir, instance=instance, **settings), policy, outside)
    tasks = [asyncio.create_task(task()) for task in service.tasks]
    try:
        async with _on_port(service) if on_port else _in_process(service) as replica:
            yield replica
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def _in_process(service: Service) -> AsyncIterator[Replica]:
    transport, url = httpx.ASGITransport(service.app), "http://flags.test"
    async with httpx.AsyncClient(transport=transport, base_url=url) as client:
        yield Replica(client, url, service)


@asynccontextmanager
async def _on_port(service: Service) -> AsyncIterator[Replica]:
    bound: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve(service.app, "127.0.0.1", 0, on_bound=bound.set_result))
    try:
        url = f"http://127.0.0.1:{await bound}"
        async with httpx.AsyncClient(base_url=url, timeout=20, trust_env=False) as client:
            yield Replica(client, url, service)
    finally:
        service.hub.close()
        serving.cancel()
        await asyncio.wait({serving})


async def tell(bus: MemoryBus, event: Event) -> None:
    """Publish an event as its owner would."""
    await bus.publish(*encode(event, SOURCE))


@dataclass(slots=True)
class Stream:
    """An open event stream, read event by event; comments are events named `comment`."""

    lines: AsyncIterator[str]
    last_id: str | None = None
    events: list[tuple[str, Any]] = field(default_factory=list)

    async def next(self, *kinds: str) -> tuple[str, Any]:
        """Return the next event, of one of these kinds if any are given."""
        async with asyncio.timeout(WAIT_S):
            while True:
                event = await self._event()
                if not kinds or event[0] in kinds:
                    return event

    async def _event(self) -> tuple[str, Any]:
        kind, data = "message", ""
        async for line in self.lines:
            name, _, value = line.partition(": ")
            if line.startswith(":"):
                kind = "comment"
            elif name == "event":
                kind = value
            elif name == "data":
                data += value
            elif name == "id":
                self.last_id = value
            elif not line:
                event = (kind, json.loads(data) if data else None)
                self.events.append(event)
                return event
        raise EOFError


@asynccontextmanager
async def listening(
    replica: Replica, path: str = "/v1/stream", last_id: str | None = None
) -> AsyncIterator[Stream]:
    """Open an event stream."""
    headers = {"Last-Event-ID": last_id} if last_id else {}
    async with replica.client.stream("GET", path, headers=headers, timeout=WAIT_S) as answer:
        assert answer.status_code == 200
        yield Stream(answer.aiter_lines())
