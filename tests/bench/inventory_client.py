"""An open-loop HTTP client in a process and on a core of its own, for `inventory_speed` and `load`.

What is due is sent, whatever came back, and a latency counts from the moment at which the request was due: a server
that stalls for a second is seen to have kept a second's requests waiting, not one (`test_inventory_client`).

wrk, hey, Locust and siege wait for an answer before they ask again, so that a slow server slows its own load down.
Open-loop ones that carry data from one answer into the next request are not to be had by pip, and hardly by apt: k6,
vegeta and oha are in neither; Gatling comes from Maven Central, yet compiles its scenarios, and the Java of PyPI has
no compiler; tsung is in Debian and tells means, no percentiles. So this is asyncio with httptools.
"""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import cycle
from random import Random
from time import perf_counter
from typing import cast

import httptools
import uvloop

SERVER_CORES, CLIENT_CORES = {0}, {1}
GIVE_UP_S = 10.0
MADE = "/MADE"
"""Stands in a request for the path of something that another request made."""
REMEMBERED = 1_000
OK, CREATED, ACCEPTED, REFUSALS = 200, 201, 202, frozenset({429, 503})


class Answer(StrEnum):
    """What a client got. All but the last two are what a shop promises on a bad day."""

    SERVED = "served"
    STALE = "stale, and says so"
    LATER = "accepted for later"
    REFUSED = "refused, with Retry-After"
    WRONG = "anything else"
    NONE = "no answer"


@dataclass(frozen=True)
class Kind:
    """A class of requests: its share of the load, and requests as they go over the wire, taken in turn.

    With `of`, `MADE` in a request becomes the `Location` of an answer of that kind, each used once. Where none is left
    the turn goes to the first kind of the plan.
    """

    name: str
    share: float
    requests: Sequence[bytes]
    of: str = ""


@dataclass(frozen=True)
class Plan:
    """What to send where. `per_s` of None: each connection asks again once it is answered, or when it was told to.

    With `think_s` each does so after a pause, drawn evenly from that range of seconds.
    """

    port: int
    kinds: Sequence[Kind]
    seconds: float
    connections: int
    per_s: float | None = None
    think_s: tuple[float, float] | None = None
    give_up_s: float = GIVE_UP_S


@dataclass
class Outcome:
    """Answers by status, 0 for none; of each when it was due (`perf_counter`), its seconds, what it was.

    `unexplained` are refusals without Retry-After.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    due_s: list[float] = field(default_factory=list)
    took_s: list[float] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
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
def client(servers: AbstractSet[int] = SERVER_CORES) -> Iterator[ProcessPoolExecutor]:
    """Give a process on the client's core; what this process starts meanwhile shares the servers' cores."""
    here = os.sched_getaffinity(0)
    if here >= servers | CLIENT_CORES:
        os.sched_setaffinity(0, servers)
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
        self._of = {kind.name: kind.of for kind in plan.kinds}
        self.made: defaultdict[str, deque[bytes]] = defaultdict(lambda: deque(maxlen=REMEMBERED))
        self.closed_loop = plan.per_s is None
        self._rng = Random(1)
        self._connections: list[_Connection] = []

    async def run(self) -> tuple[dict[str, Outcome], float]:
        for _ in range(self._plan.connections):
            await self.connect(self.new())
        self.idle.extend(self._connections)
        began_s = perf_counter()
        self.until_s = began_s + self._plan.seconds
        if self.closed_loop:
            self.idle.clear()
            for connection in tuple(self._connections):
                self.next(connection)
            await asyncio.sleep(self._plan.seconds)
        else:
            await self._open_loop(began_s)
        took_s = perf_counter() - began_s
        answers = sum(len(outcome.took_s) for outcome in self.outcomes.values())
        await self._drain()
        return self.outcomes, answers / took_s

    def new(self) -> _Connection:
        """Add a connection, not open yet."""
        self._connections.append(_Connection(self))
        return self._connections[-1]

    async def connect(self, connection: _Connection) -> None:
        """Open it."""
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: connection, "127.0.0.1", self._plan.port)

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
                # In turn: one that rests for some seconds is closed by the server, maybe just as it is used again.
                self.idle.popleft().send(*self._waiting.popleft())
            if number % 16 == 0:
                await asyncio.sleep(0)

    def next(self, connection: _Connection, told_s: float = 0.0) -> None:
        """Give a connection that is free something to do, not before it was told to."""
        if self.closed_loop:
            pause_s = max(told_s, self._rng.uniform(*self._plan.think_s) if self._plan.think_s else 0.0)
            due_s = perf_counter() + pause_s
            if pause_s:
                asyncio.get_running_loop().call_later(pause_s, self._ask, connection, due_s)
            else:
                self._ask(connection, due_s)
        elif self._waiting:
            connection.send(*self._waiting.popleft())
        else:
            self.idle.append(connection)

    def _ask(self, connection: _Connection, due_s: float) -> None:
        if (now_s := perf_counter()) < self.until_s:
            self._open += 1
            connection.send(next(self._order), min(due_s, now_s))

    def wire(self, kind: str) -> tuple[str, bytes]:
        """Return the next request of a kind, or of the first where nothing is left for it."""
        if of := self._of[kind]:
            if self.made[of]:
                return kind, next(self._pools[kind]).replace(MADE.encode(), self.made[of].popleft())
            kind = self._plan.kinds[0].name
        return kind, next(self._pools[kind])

    def note(self, kind: str, status: int, due_s: float, *, explained: bool, stale: bool = False) -> None:
        """Note an answer."""
        self._open -= 1
        outcome = self.outcomes[kind]
        outcome.statuses[status] += 1
        outcome.due_s.append(due_s)
        outcome.took_s.append(perf_counter() - due_s)
        outcome.answers.append(_answer(status, explained=explained, stale=stale))
        outcome.unexplained += status in REFUSALS and not explained

    async def _drain(self) -> None:
        end_s = perf_counter() + self._plan.give_up_s
        while self._open and perf_counter() < end_s:  # noqa: ASYNC110 - checked by time
            await asyncio.sleep(0.01)
        waiting, self._waiting = self._waiting, deque()
        for connection in self._connections:
            connection.give_up()
        for kind, due_s in waiting:
            self.note(kind, 0, due_s, explained=True)


def _answer(status: int, *, explained: bool, stale: bool) -> Answer:
    if status in {OK, CREATED}:
        return Answer.STALE if stale else Answer.SERVED
    if status in REFUSALS and explained:
        return Answer.REFUSED
    return {ACCEPTED: Answer.LATER, 0: Answer.NONE}.get(status, Answer.WRONG)


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
    _transport: asyncio.WriteTransport | None = None

    def __init__(self, load: _Load) -> None:
        self._load = load
        self._kind = ""
        self._wire = b""
        self._due_s = 0.0
        self._wait_s: float | None = None
        self._stale = False
        self._place = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)
        self._parser = httptools.HttpResponseParser(self)
        self._transport.write(self._wire)  # what was due while there was none

    def send(self, kind: str, due_s: float) -> None:
        if self._transport is None or self._transport.is_closing():
            self._load.new().open_for(kind, due_s)  # the end of this one may still be told
        else:
            self._take(kind, due_s)
            self._transport.write(self._wire)

    def open_for(self, kind: str, due_s: float) -> None:
        """Open it, and then send."""
        self._take(kind, due_s)
        asyncio.ensure_future(self._load.connect(self)).add_done_callback(self._connected)

    def _take(self, kind: str, due_s: float) -> None:
        self._kind, self._wire = self._load.wire(kind)
        self._due_s, self._wait_s, self._stale, self._place = due_s, None, False, b""

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        match name.lower():
            case b"retry-after":
                self._wait_s = float(value)
            case b"age":
                self._stale = True
            case b"location":
                self._place = value

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status == CREATED and self._place:
            self._load.made[self._kind].append(self._place)
        if self._transport and not self._parser.should_keep_alive():
            self._transport.close()
        self._end(status)

    def connection_lost(self, _: Exception | None) -> None:
        if self._kind:
            self._end(0)

    def give_up(self) -> None:
        """Count what was not answered."""
        if self._transport:
            self._transport.abort()
        if self._kind:
            self._end(0)

    def _connected(self, task: asyncio.Future[None]) -> None:
        if task.exception():
            self._end(0)

    def _end(self, status: int) -> None:
        kind, self._kind, self._wire = self._kind, "", b""
        explained = not status or self._wait_s is not None
        self._load.note(kind, status, self._due_s, explained=explained, stale=self._stale)
        self._load.next(self, self._wait_s or 0.0)
