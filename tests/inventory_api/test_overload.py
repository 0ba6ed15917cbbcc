"""What is let through when too much comes at once, in front of a small application without a network."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

import pytest
from starlette.types import Message, Receive, Scope, Send

from inventory_api.domain.traffic import Importance, Lane, Traffic, traffic_of
from inventory_api.http.doors import shown_to
from inventory_api.http.overload import AT_LEAST, LANES, Entrance, InLane, Lanes
from resilience_guards import LimiterSettings, Shed

PAGE = "https://shop.example"
TURN = LimiterSettings(initial=20, lowest=20, highest=20)
SETTLE = ("POST", "/v1/reservations/1/confirm")
HOLD = ("POST", "/v1/reservations")
LOOK = ("GET", "/v1/stock/TEE")
CHANGE = ("POST", "/v1/adjustments")


@dataclass
class Backend:
    """Answers 200 after some work, or when told to."""

    go: asyncio.Event = field(default_factory=asyncio.Event)
    waits_for: str = ""
    status: int = 200
    work_s: float = 0.0

    async def __call__(self, scope: Scope, _: Receive, send: Send) -> None:
        time.sleep(self.work_s)  # noqa: ASYNC251 - work, which keeps the event loop busy
        if self.waits_for and self.waits_for in scope["path"]:
            await self.go.wait()
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})


@dataclass
class Answer:
    status: int
    headers: dict[bytes, bytes]
    body: bytes


class Client:
    """Asks as the protocol does: at the entrance first, and what is let in is worked on in the next turn."""

    def __init__(self, turn: LimiterSettings = TURN) -> None:
        self.backend, self.lanes = Backend(), Lanes(turn)
        self.observed: list[tuple[str, str, int, float]] = []
        self._app = InLane(self.backend, self.lanes)
        self._entrance = Entrance(
            self.lanes,
            lambda: "LIMITED",
            lambda *told: self.observed.append(told),
            shown_to((PAGE,)),
            Random(1),
        )

    async def ask(self, method: str, path: str, origin: bytes = b"") -> Answer:
        sent: list[Message] = []

        async def receive() -> Message:
            raise AssertionError("nobody reads a body here")

        async def send(message: Message) -> None:
            sent.append(message)

        headers = [(b"origin", origin)] if origin else []
        scope = {"type": "http", "method": method, "path": path, "headers": headers, "state": {}}
        refusal = self._entrance.admit(scope, 0)
        if refusal is not None:
            line, *fields = refusal.head.removesuffix(b"\r\n").split(b"\r\n")
            return Answer(int(line.split()[1]), dict(field.split(b": ", 1) for field in fields), refusal.body)
        await asyncio.sleep(0)
        await self._app(scope, receive, send)
        return Answer(sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"])

    async def ask_at_once(self, *requests: tuple[str, str]) -> list[Answer]:
        return await asyncio.gather(*(self.ask(*each) for each in requests))


@pytest.mark.parametrize(
    ("method", "path", "importance", "lane"),
    [
        ("POST", "/v1/reservations/1/confirm", Importance.SETTLE, Lane.WRITE),
        ("POST", "/v1/reservations/1/release", Importance.SETTLE, Lane.WRITE),
        ("POST", "/v1/reservations/1/extend", Importance.HOLD, Lane.WRITE),
        ("POST", "/v1/reservations", Importance.HOLD, Lane.WRITE),
        ("GET", "/v1/reservations/1", Importance.HOLD, Lane.READ),
        ("GET", "/v1/stock/TEE", Importance.LOOK, None),
        ("POST", "/v1/availability:batch", Importance.LOOK, None),
        ("PUT", "/v1/stock/TEE/locations/shop", Importance.CHANGE, Lane.WRITE),
        ("POST", "/v1/transfers/1/ship", Importance.CHANGE, Lane.WRITE),
        ("GET", "/v1/stock", Importance.LIST, Lane.READ),
        ("GET", "/v1/search", Importance.LIST, Lane.READ),
        ("GET", "/v1/skus/TEE/image", Importance.LIST, None),
        ("POST", "/v1/imports", Importance.OFFICE, Lane.OFFICE),
        ("GET", "/v1/reports/valuation", Importance.OFFICE, Lane.OFFICE),
        ("POST", "/v1/assistant", Importance.OFFICE, Lane.OFFICE),
    ],
)
def test_requests_are_weighed_by_what_waits_for_them(
    method: str, path: str, importance: Importance, lane: Lane | None
) -> None:
    assert traffic_of(method, path) == Traffic(importance, lane)


async def test_of_those_who_come_at_once_the_less_important_are_refused() -> None:
    client = Client()

    answers = await client.ask_at_once(*[LOOK] * 200, *[HOLD] * 5, *[SETTLE] * 15)

    looks, holds, settled = (
        Counter(answer.status for answer in part) for part in (answers[:200], answers[200:205], answers[205:])
    )
    assert settled == {200: 15}
    assert holds == {200: 5}
    assert 0 < looks[200] < 40
    assert looks[200] + looks[503] == 200
    assert client.lanes.shed[Importance.LOOK] == looks[503]
    assert client.lanes.turn.in_flight == 0


async def test_a_refusal_says_when_to_come_back() -> None:
    client = Client()

    answers = await client.ask_at_once(*[("GET", '/v1/stock/"\n\\ü')] * 200)

    refused = [answer for answer in answers if answer.status == 503]
    for answer in refused:
        problem = json.loads(answer.body)
        assert answer.headers[b"content-type"] == b"application/problem+json"
        assert int(answer.headers[b"content-length"]) == len(answer.body)
        assert problem["code"] == "overloaded"
        assert problem["status"] == 503
        assert problem["instance"] == "/v1/stock/%22%0A%5C%C3%BC"
        assert problem["retry_after"] == int(answer.headers[b"retry-after"])
        assert answer.headers[b"resilience-level"] == b"LIMITED"
        assert b"access-control-allow-origin" not in answer.headers
    assert {json.loads(answer.body)["retry_after"] for answer in refused} == {1, 2, 3}


async def test_a_page_of_the_shop_may_read_a_refusal_and_others_may_not() -> None:
    client = Client()

    ours = await asyncio.gather(*(client.ask(*LOOK, PAGE.encode()) for _ in range(200)))
    await asyncio.sleep(0)
    theirs = await asyncio.gather(*(client.ask(*LOOK, b"https://other.example") for _ in range(200)))

    (allowed,) = {each.headers[b"access-control-allow-origin"] for each in ours if each.status == 503}
    assert allowed == PAGE.encode()
    assert {b"access-control-allow-origin" in each.headers for each in theirs if each.status == 503} == {
        False
    }


async def test_a_refused_head_has_no_body_and_a_preflight_is_never_refused() -> None:
    client = Client()

    heads = await client.ask_at_once(*[("HEAD", "/v1/stock/TEE")] * 200)
    preflights = await client.ask_at_once(*[("OPTIONS", "/v1/stock/TEE")] * 200)

    assert {each.body for each in heads if each.status == 503} == {b""}
    assert {each.status for each in preflights} == {200}


async def test_each_refusal_is_observed() -> None:
    client = Client()

    answers = await client.ask_at_once(*[LOOK] * 200)

    refused = [("GET", "entrance", 503, 0.0)] * Counter(answer.status for answer in answers)[503]
    assert client.observed == refused != []


async def test_nobody_is_refused_who_comes_after_those_before_were_answered() -> None:
    client = Client(LimiterSettings(initial=1, lowest=1, highest=1))

    for _ in range(50):
        assert (await client.ask(*LOOK)).status == 200
        await asyncio.sleep(0)


async def test_a_turn_of_the_event_loop_is_kept_short() -> None:
    client = Client(LimiterSettings(initial=100, lowest=2, queueing_s=0.005))
    client.backend.work_s = 0.001
    for _ in range(100):
        await client.ask(*LOOK)

    rounds = 0
    while client.lanes.turn.limit >= 30 and rounds < 300:
        await client.ask_at_once(*[LOOK] * 100)
        rounds += 1

    assert client.lanes.turn.limit < 30


async def test_a_frozen_database_takes_no_room_from_what_is_answered_from_memory() -> None:
    client = Client()
    client.backend.waits_for = "adjustments"
    writes: list[asyncio.Task[Answer]] = []
    while not any(write.done() for write in writes):
        writes.append(asyncio.create_task(client.ask(*CHANGE)))
        for _ in range(3):
            await asyncio.sleep(0)

    looked = await client.ask_at_once(*[LOOK] * 10)
    client.backend.go.set()
    written = Counter(answer.status for answer in await asyncio.gather(*writes))

    assert {answer.status for answer in looked} == {200}
    assert written == {200: len(writes) - 1, 503: 1}
    assert len(writes) > LANES[Lane.WRITE].initial
    assert client.lanes.limiters[Lane.WRITE].in_flight == 0


def test_the_further_the_event_loop_falls_behind_the_more_must_a_request_matter() -> None:
    importances = [
        {importance for importance in Importance if is_let_in(importance, waiting)}
        for waiting in (0, 16, 17, 32, 33, 48, 49, 64, 65, 80, 81, 100_000)
    ]

    assert [len(let_in) for let_in in importances] == [6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1]
    assert all(let_in == set(list(Importance)[: len(let_in)]) for let_in in importances)


def is_let_in(importance: Importance, waiting: int) -> bool:
    with suppress(Shed):
        Lanes(TURN).enter(importance, None, waiting)
        return True
    return False


async def test_few_wait_for_the_database_once_the_event_loop_does_not_keep_up() -> None:
    narrow = {Lane.WRITE: LimiterSettings(initial=8, lowest=8, highest=8)}
    calm, crowded = Lanes(TURN, narrow), Lanes(TURN, narrow)
    looks = []
    with suppress(Shed):
        while True:
            looks.append(crowded.enter(Importance.LOOK, None)[0])
    for look in looks:
        crowded.turn.released(look)

    assert waiting_in(calm) == AT_LEAST
    assert 0 < waiting_in(crowded) < AT_LEAST / 2


def waiting_in(lanes: Lanes) -> int:
    """Return how many changes may wait for the database, each of which came in a turn of its own."""
    for count in range(1000):
        try:
            turn, _ = lanes.enter(Importance.CHANGE, Lane.WRITE)
        except Shed:
            return count
        lanes.turn.released(turn)
    raise AssertionError("any number")


async def test_what_ends_a_hold_is_let_in_however_many_wait_for_the_database() -> None:
    client = Client()
    client.backend.waits_for = "reservations"
    waiting = []
    for _ in range(2 * max(AT_LEAST, LANES[Lane.WRITE].initial)):
        waiting.append(asyncio.create_task(client.ask(*SETTLE)))
        for _ in range(3):
            await asyncio.sleep(0)

    held = await client.ask(*HOLD)
    client.backend.go.set()
    settled = await asyncio.gather(*waiting)

    assert held.status == 503
    assert {answer.status for answer in settled} == {200}


async def test_a_quick_refusal_is_not_taken_for_quick_work() -> None:
    client = Client()
    client.backend.status = 503

    for _ in range(200):
        await client.ask(*HOLD)

    assert client.lanes.limiters[Lane.WRITE].typical_s == 0


async def test_health_is_asked_whatever_comes() -> None:
    client = Client(LimiterSettings(initial=1, lowest=1, highest=1))

    answers = await client.ask_at_once(*[("GET", "/health/live")] * 50)

    assert {answer.status for answer in answers} == {200}
