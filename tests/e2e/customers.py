"""A shop's customers, who never know which replica answers, and hold all of them to one another's answers."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Sequence
from itertools import count
from typing import Self

import httpx

from tests.e2e.shop import until

SKU, LOCATION = "SIDE-BY-SIDE", "shop"
PLACE = {"sku": SKU, "location": LOCATION}
BROUGHT = 1
LATER = httpx.codes.ACCEPTED
PAUSE_S = 0.4
ROUNDS = 8
PATIENCE_S = 60.0

Line = tuple[str, int]
"""A row of the ledger: its reference and by how much it changes the stock."""


class Customer(threading.Thread):
    """Asks without end. Each write goes to one replica and again, with its key, to the next: both answer alike.

    Attributes:
        rounds: how often it has done what it does.
        lines: what the ledger must have of it.
        later: who accepted a write for later, each time.
        wrong: the first answer that nobody should get; it asks no more then.
    """

    def __init__(self, up: Callable[[], Sequence[str]]) -> None:
        super().__init__(name=type(self).__name__)
        self.rounds = 0
        self.lines: list[Line] = []
        self.later: list[str] = []
        self.wrong = ""
        self._up, self._urls = up, up()
        self._turn = 0
        self._end = threading.Event()

    def run(self) -> None:
        """Go on until told to end, or wrongly."""
        with httpx.Client(timeout=12, trust_env=False) as self._http:
            while not self._end.wait(PAUSE_S):
                self._urls = self._up()
                try:
                    self.act()
                except Exception as error:  # noqa: BLE001 - told to the test, which fails by it
                    self.wrong = f"{self.name} {error!r}"
                    return
                self.rounds += 1

    def end(self) -> None:
        """End after this round."""
        self._end.set()

    def act(self) -> None:
        """Do one round of what this customer does."""
        raise NotImplementedError

    def write(self, path: str, body: object, *expected: int) -> httpx.Response:
        """Send a write to two replicas in turn, to the same one twice where no other is up; return the first answer."""
        key = uuid.uuid4().hex
        first = self.ask(path, body, key, *expected)
        again = self.ask(path, body, key, *expected, turn=self._turn + 1)
        if LATER not in {first.status_code, again.status_code}:
            assert (first.status_code, first.text) == (again.status_code, again.text), told(again)
        return first

    def ask(
        self, path: str, body: object, key: str, *expected: int, turn: int | None = None
    ) -> httpx.Response:
        """Ask one replica after the other until the answer is not to come again later."""
        if turn is None:
            self._turn = turn = self._turn + 1
        give_up_s = time.monotonic() + PATIENCE_S
        for number in count(turn):
            url = self._urls[number % len(self._urls)]
            answer = self._http.post(f"{url}/v1{path}", json=body, headers={"Idempotency-Key": key})
            if not put_off(answer):
                break
            assert time.monotonic() < give_up_s, told(answer)
            time.sleep(PAUSE_S)
        assert answer.status_code in expected, told(answer)
        if answer.status_code == LATER:
            self.later.append(url)
        return answer


class Supplier(Customer):
    """Brings stock, piece by piece."""

    def act(self) -> None:
        """Bring one under a reference of its own."""
        reference = uuid.uuid4().hex
        body = {**PLACE, "delta": BROUGHT, "reason": "RECEIPT", "reference": reference}
        self.write("/adjustments", body, httpx.codes.CREATED, LATER)
        self.lines.append((reference, BROUGHT))


class Buyer(Customer):
    """Looks, holds one piece or two, and takes them or, now and then, does not.

    Attributes:
        refused: how often there was not enough.
    """

    refused = 0

    def act(self) -> None:
        """Look and buy."""
        self.ask("/availability:batch", {"skus": [SKU]}, uuid.uuid4().hex, httpx.codes.OK)
        owner, quantity = uuid.uuid4().hex, 1 + self.rounds % 2
        body = {"owner_ref": owner, "lines": [{**PLACE, "quantity": quantity}]}
        held = self.write("/reservations", body, httpx.codes.CREATED, httpx.codes.CONFLICT)
        if held.status_code == httpx.codes.CONFLICT:
            assert held.json()["code"] == "insufficient_stock", told(held)
            self.refused += 1
            return
        settlement = "confirm" if self.rounds % 4 else "release"
        self.write(f"/reservations/{held.json()['id']}/{settlement}", {}, httpx.codes.OK)
        if settlement == "confirm":
            self.lines.append((owner, -quantity))


class Customers:
    """A supplier and two buyers, who want more than it brings, so that there is too little nearly all the time."""

    def __init__(self, url: str) -> None:
        self._urls: tuple[str, ...] = (url,)
        self.supplier = Supplier(lambda: self._urls)
        self.buyers = [Buyer(lambda: self._urls), Buyer(lambda: self._urls)]
        self._all: list[Customer] = [self.supplier, *self.buyers]

    def __enter__(self) -> Self:
        for each in self._all:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._all:
            each.end()
        for each in self._all:
            each.join(PATIENCE_S)

    @property
    def lines(self) -> list[Line]:
        """What the ledger must have: each write that was accepted, once."""
        return sorted(line for each in self._all for line in each.lines)

    @property
    def wrong(self) -> list[str]:
        """Answers that nobody should get."""
        return [each.wrong for each in self._all if each.wrong]

    def turn_to(self, *urls: str) -> None:
        """Let them ask these replicas; return when they ask no other any more."""
        self._urls = urls
        self.go_on(1)

    def go_on(self, rounds: int = ROUNDS) -> None:
        """Return when each has done its rounds, and none was answered wrongly."""
        goals = [(each, each.rounds + rounds) for each in self._all]

        def done() -> bool:
            assert not self.wrong, self.wrong
            return all(each.rounds >= goal for each, goal in goals)

        until(f"{rounds} rounds of each customer", done, 2 * PATIENCE_S)


def put_off(answer: httpx.Response) -> bool:
    """Say whether an answer only asks to come again: busy, a dependency away, or the key is worked on."""
    if answer.status_code == httpx.codes.CONFLICT:
        return bool(answer.json()["code"] == "idempotency_key_in_flight")
    return (
        answer.status_code in {httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.TOO_MANY_REQUESTS}
        and "Retry-After" in answer.headers
    )


def told(answer: httpx.Response) -> str:
    """Return an answer for people."""
    return f"{answer.request.url}: {answer.status_code} {answer.text}"
