"""Looks at both consumers of the level and uses the shop at an even pace, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
import time
import uuid

import httpx

from resilience_contracts import Level

from .record import NO_ANSWER, Call, Moment, Record, Sight
from .shop import PACE_S, Goods

LOOK_S = 0.1
GIVEN_UP_S = 20.0
CONSUMERS = ("inventory-api", "flag-service")


class Watch:
    """Fills a record from its start to its stop. Calls are made when due, whether or not earlier ones were answered."""

    def __init__(self, urls: dict[str, str], goods: Goods, record: Record) -> None:
        self._urls, self._goods, self.record = urls, goods, record
        self._began_s = time.monotonic()
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def now_s(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began_s

    def note(self, kind: str, text: str) -> None:
        """Keep a moment."""
        self.record.moments.append(Moment(self.now_s, kind, text))

    def start(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="watch")
        self._thread.start()

    def stop(self) -> None:
        """Make no more calls; return when every one that was made is over."""
        self._end.set()
        if self._thread:
            self._thread.join()

    async def _run(self) -> None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=50)
        async with (
            httpx.AsyncClient(timeout=GIVEN_UP_S, limits=limits, trust_env=False) as client,
            asyncio.TaskGroup() as group,
        ):
            for consumer in CONSUMERS:
                group.create_task(self._look(client, consumer))
            for kind, pace_s in PACE_S.items():
                group.create_task(self._use(client, group, kind, pace_s))

    async def _look(self, client: httpx.AsyncClient, consumer: str) -> None:
        while not self._end.is_set():
            try:
                sight = await self._sight(client, consumer)
            except (httpx.HTTPError, KeyError, ValueError):
                sight = None
            if sight is not None:
                self.record.sights.append(sight)
            await asyncio.sleep(LOOK_S)

    async def _sight(self, client: httpx.AsyncClient, consumer: str) -> Sight | None:
        at_s, base = self.now_s, self._urls[consumer]
        if consumer == "flag-service":
            body = (await client.get(f"{base}/v1/levels/default")).raise_for_status().json()
            return Sight(consumer, at_s, Level(body["rank"]), version_of(body["version"]), body["stale"])
        answer = (await client.get(f"{base}/v1/system/degradation")).raise_for_status()
        name, *parameters = [part.strip() for part in answer.headers["Resilience-Level"].split(";")]
        if name == "UNKNOWN":
            return None
        told = dict(part.split("=", 1) for part in parameters if "=" in part)
        return Sight(
            consumer, at_s, Level[name], version_of(told["version"].strip('"')), "stale" in parameters
        )

    async def _use(
        self, client: httpx.AsyncClient, group: asyncio.TaskGroup, kind: str, pace_s: float
    ) -> None:
        due_s = self.now_s
        while not self._end.is_set():
            group.create_task(self._call(client, kind, due_s))
            due_s += pace_s
            await asyncio.sleep(max(0.0, due_s - self.now_s))

    async def _call(self, client: httpx.AsyncClient, kind: str, due_s: float) -> None:
        key = uuid.uuid4().hex
        method, path, rest = self._goods.request(kind, key)
        status, code = NO_ANSWER, ""
        try:
            answer = await client.request(method, f"{self._urls['inventory-api']}{path}", **rest)
            status, code = answer.status_code, code_of(answer)
        except httpx.TransportError:
            pass
        self.record.calls.append(Call(kind, due_s, self.now_s - due_s, status, code, key))


def version_of(text: str) -> tuple[int, int]:
    """Read a version `epoch.counter`."""
    epoch, counter = text.split(".")
    return int(epoch), int(counter)


def code_of(answer: httpx.Response) -> str:
    """Return the code of a problem; empty when the answer is none."""
    if not answer.headers.get("content-type", "").startswith("application/problem+json"):
        return ""
    return str(answer.json().get("code", ""))
