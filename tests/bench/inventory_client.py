"""An open-loop HTTP client in a process and on a core of its own, for `inventory_speed`.

wrk, hey and Locust wait for an answer before they ask again, so that a slow server slows its own load down; vegeta
and oha do not, and come neither from PyPI nor from Debian 12. None of them weighs classes of requests of which each
is sent once, as a confirmation is. So this is asyncio with httptools: what is due is sent, whatever came back, and a
latency counts from the moment at which the request was due.
"""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from time import perf_counter
from typing import cast

import httptools
import uvloop

SERVER_CORES, CLIENT_CORES = {0}, {1}
GIVE_UP_S = 10.0


@dataclass(frozen=True)
class Kind:
    """A class of requests: its share of the load, and requests as they go over the wire, taken in turn."""

    name: str
    share: float
    requests: Sequence[bytes]


@dataclass(frozen=True)
class Plan:
    """What to send where. `per_s` of None: each connection asks again once it is answered, or when it was told to."""

    port: int
    kinds: Sequence[Kind]
    seconds: float
    connections: int
    per_s: float | None = None


@dataclass
class Outcome:
    """Answers by status, 0 for none; seconds of each; refusals without Retry-After; bodies if few."""

    statuses: Counter[int] = field(default_factory=Counter)
    took_s: list[float] = field(default_factory=list)
    unexplained: int = 0

    def ms(self, share: float) -> float:
        """Return a quantile in milliseconds."""
        ordered = sorted(self.took_s)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000 if ordered else 0.0


def request(method: str, path: str, body: bytes = b"") -> bytes:
    """Write a request."""
    head = f"{method} {path} HTTP/1.1\r\nhost: shop\r\n"
    if method == "POST":
        head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


@contextmanager
def client() -> Iterator[ProcessPoolExecutor]:
    """Give a process on the client's core; what this process starts meanwhile shares the server's."""
    here = os.sched_getaffinity(0)
    if here >= SERVER_CORES | CLIENT_CORES:
        os.sched_setaffinity(0, SERVER_CORES)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=_settle) as pool:
        try:
            yield pool
        finally:
            os.sched_setaffinity(0, here)


def _settle() -> None:
    if os.cpu_count() != 1:
        os.sched_setaffinity(0, CLIENT_CORES)


def drive(plan: Plan) -> tuple[dict[str, Outcome], float]:
    """Send what is planned; return outcomes by kind, and answers each second."""
    gc.disable()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_Load(plan).run())


class _Load:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.outcomes = {kind.name: Outcome() for kind in plan.kinds}
        self._pools = {kind.name: cycle(kind.requests) for kind in plan.kinds}
        self.idle: deque[_Connection] = deque()
        self._waiting: deque[tuple[str, float]] = deque()
        self._open = 0
        self._order = _spread(plan.kinds)
        self.closed_loop = plan.per_s is None

    async def run(self) -> tuple[dict[str, Outcome], float]:
        loop = asyncio.get_running_loop()
        for _ in range(self._plan.connections):
            _, connection = await loop.create_connection(
                lambda: _Connection(self), "127.0.0.1", self._plan.port
            )
            self.idle.append(connection)
        began_s = perf_counter()
        self.until_s = began_s + self._plan.seconds
        if self.closed_loop:
            for connection in list(self.idle):
                self.next(connection)
            await asyncio.sleep(self._plan.seconds)
        else:
            await self._open_loop(began_s)
        took_s = perf_counter() - began_s
        answers = sum(len(outcome.took_s) for outcome in self.outcomes.values())
        await self._drain()
        return self.outcomes, answers / took_s

    async def _open_loop(self, began_s: float) -> None:
        per_s = self._plan.per_s
        assert per_s
        for number in range(int(self._plan.seconds * per_s)):
            due_s = began_s + number / per_s
            while (ahead_s := due_s - perf_counter()) > 0:  # noqa: ASYNC110 - a timer may be early
                await asyncio.sleep(ahead_s)
            self._waiting.append((next(self._order), due_s))
            self._open += 1
            while self._waiting and self.idle:
                self.idle.popleft().send(*self._waiting.popleft())
            if number % 16 == 0:
                await asyncio.sleep(0)

    def next(self, connection: _Connection) -> None:
        """Give a connection that is free something to do."""
        if self.closed_loop:
            self.idle.clear()
            if perf_counter() < self.until_s:
                self._open += 1
                connection.send(next(self._order), perf_counter())
        elif self._waiting:
            connection.send(*self._waiting.popleft())
        else:
            self.idle.append(connection)

    def wire(self, kind: str) -> bytes:
        """Return the next request of a kind."""
        return next(self._pools[kind])

    def note(self, kind: str, status: int, due_s: float, *, explained: bool) -> None:
        """Note an answer."""
        self._open -= 1
        outcome = self.outcomes[kind]
        outcome.statuses[status] += 1
        outcome.took_s.append(perf_counter() - due_s)
        outcome.unexplained += status in {429, 503} and not explained

    async def _drain(self) -> None:
        end_s = perf_counter() + GIVE_UP_S
        while self._open and perf_counter() < end_s:  # noqa: ASYNC110 - checked by time
            await asyncio.sleep(0.01)
        if self._open:
            self.outcomes[self._plan.kinds[0].name].statuses[0] += self._open


def _spread(kinds: Sequence[Kind]) -> Iterator[str]:
    """Give kinds by their shares, evenly mixed."""
    credit = {kind.name: 0.0 for kind in kinds}
    while True:
        for kind in kinds:
            credit[kind.name] += kind.share
        name = max(credit, key=credit.__getitem__)
        credit[name] -= sum(kind.share for kind in kinds)
        yield name


class _Connection(asyncio.Protocol):
    def __init__(self, load: _Load) -> None:
        self._load = load
        self._kind = ""
        self._due_s = 0.0
        self._wait_s: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)
        self._parser = httptools.HttpResponseParser(self)

    def send(self, kind: str, due_s: float) -> None:
        self._kind, self._due_s, self._wait_s = kind, due_s, None
        self._transport.write(self._load.wire(kind))

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"retry-after":
            self._wait_s = float(value)

    def on_message_complete(self) -> None:
        kind, self._kind = self._kind, ""
        self._load.note(kind, self._parser.get_status_code(), self._due_s, explained=self._wait_s is not None)
        if self._load.closed_loop and self._wait_s is not None:
            asyncio.get_running_loop().call_later(self._wait_s, self._load.next, self)
        else:
            self._load.next(self)

    def connection_lost(self, _: Exception | None) -> None:
        if self._kind:
            self._load.note(self._kind, 0, self._due_s, explained=True)
