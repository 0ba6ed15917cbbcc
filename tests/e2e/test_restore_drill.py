"""The drill: PostgreSQL's disk is destroyed under writers, and the shop is back with every write that was accepted."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import asyncpg
import httpx
import pytest

from inventory_api.adapters.sql.audits import AUDITS
from resilience_cli.main import run
from resilience_cli.stack import run_apart
from resilience_contracts import Level
from tests.e2e.shop import LOCATION, SKU, Shop, until
from tests.e2e.test_outages import both_at
from tests.fixtures.stack import RunningStack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

RTO_S = 120.0
PUBLISHED_S = 1.0
"""What was written longer ago is in the log of writes, unless `inventory_redo_age_seconds` says otherwise."""
QUEUED = 20


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


@pytest.fixture(autouse=True)
def here(quick_stack: RunningStack, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("RESILIENCE_STACK_DIR", str(quick_stack.root))
    yield
    quick_stack.restore("postgresql")


def test_the_disk_of_postgresql_is_lost_and_every_accepted_write_is_back(
    quick_stack: RunningStack, shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both_at(shop, Level.OPTIMAL)
    file, key = str(tmp_path / "stock.dump.age"), str(tmp_path / "backup.key")
    assert run(["keys", "backup", key]) == 0
    with Writer(shop) as writer:
        until("writes before the backup", lambda: len(writer.accepted) > 20)
        assert run(["backup", file, "--key", key]) == 0
        before = len(writer.accepted)
        until("writes after the backup", lambda: len(writer.accepted) > before + 20)
        lost_s = time.monotonic()
        quick_stack.lose_data("postgresql")
        until("writes accepted for later", lambda: queued(writer) >= QUEUED)
        capsys.readouterr()
        assert run(["restore", file, "--key", key, "--yes", "--json"]) == 0
        statements = json.loads(capsys.readouterr().out)["statements"]
        until("a sale again", lambda: shop.reserve().status_code == httpx.codes.CREATED, RTO_S)
        rto_s = time.monotonic() - lost_s
    both_at(shop, Level.OPTIMAL, 90)
    expected = {each.reference for each in writer.accepted}
    until("everything that was accepted for later", lambda: not waiting(shop), 60)

    found = run_apart(references(quick_stack.env["DATABASE_URL"]))
    missing = [each for each in writer.accepted if each.reference not in found]
    rpo_s = max((lost_s - each.at_s for each in missing), default=0.0)
    with capsys.disabled():
        print(
            f"\nRTO {rto_s:.1f} s of {RTO_S:g}; {len(writer.accepted)} writes accepted, {queued(writer)} of them for"
            f" later, {statements} statements replayed; {len(missing)} not back, the oldest {rpo_s:.2f} s before the loss"
        )

    assert rto_s < RTO_S
    assert [
        each for each in missing if each.status == httpx.codes.ACCEPTED or lost_s - each.at_s > PUBLISHED_S
    ] == []
    assert {reference for reference in expected & found.keys() if found[reference] > 1} == set()
    assert len(expected & found.keys()) == len(expected) - len(missing)
    assert run_apart(violations(quick_stack.env["DATABASE_URL"])) == {}


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
