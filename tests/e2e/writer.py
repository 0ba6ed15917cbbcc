"""A writer that remembers what was accepted, and what the ledger has of it."""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Self

import asyncpg
import httpx

from inventory_api.adapters.sql.audits import AUDITS
from tests.e2e.shop import LOCATION, SKU, Shop


@dataclass(frozen=True, slots=True)
class Accepted:
    """A write as its client remembers it; `at_s` is when the answer came."""

    reference: str
    status: int
    at_s: float


@dataclass
class Writer:
    """Receives one piece after another, each under a reference of its own, and keeps those that were accepted."""

    shop: Shop
    accepted: list[Accepted] = field(default_factory=list)
    _end: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._write)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(30)

    def receive(self) -> None:
        reference = uuid.uuid4().hex
        body = {"sku": SKU, "location": LOCATION, "delta": 1, "reason": "RECEIPT", "reference": reference}
        try:
            answer = self.shop.post("/v1/adjustments", body, reference)
        except httpx.HTTPError:
            return
        if answer.is_success:
            self.accepted.append(Accepted(reference, answer.status_code, time.monotonic()))

    def _write(self) -> None:
        while not self._end.wait(0.02):
            self.receive()


def queued(writer: Writer) -> int:
    return sum(each.status == httpx.codes.ACCEPTED for each in writer.accepted)


def waiting(shop: Shop) -> int:
    return int(
        shop.inventory.get("/v1/system/degradation").raise_for_status().json()["commands"]["waiting"] or 0
    )


async def references(url: str) -> dict[str, int]:
    """Return how often the ledger has each reference."""
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(
            "SELECT reference, count(*) FROM ledger WHERE reference IS NOT NULL GROUP BY 1"
        )
        return {row[0]: row[1] for row in rows}
    finally:
        await connection.close()


async def violations(url: str) -> dict[str, int]:
    connection = await asyncpg.connect(url)
    try:
        found = {name: int(await connection.fetchval(query)) for name, query in AUDITS.items()}
    finally:
        await connection.close()
    return {name: number for name, number in found.items() if number}
