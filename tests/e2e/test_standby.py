"""A second PostgreSQL: what is answered 201 is on both disks, and the loss of one loses none of it."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import httpx
import pytest

from resilience_cli.main import run
from resilience_cli.stack import STANDBY, run_apart
from resilience_contracts import Level
from tests.e2e.quick import quick_policy_text
from tests.e2e.shop import Shop, until
from tests.e2e.test_outages import both_at
from tests.e2e.writer import Accepted, Writer, queued, references, violations, waiting
from tests.fixtures.stack import RunningStack, running_stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300), pytest.mark.xdist_group("standby")]

RTO_S = 120.0
QUEUED = 10
CREATED = httpx.codes.CREATED


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    root = Path(tmp_path_factory.mktemp("standby"))
    with running_stack(root, policy_text=quick_policy_text(), standby=True) as stack:
        yield stack


@pytest.fixture
def shop(stack: RunningStack, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.setenv("RESILIENCE_STACK_DIR", str(stack.root))
    shop = Shop(stack.url("inventory-api"), stack.url("flag-service"), stack.operator_key())
    shop.seed()
    both_at(shop, Level.OPTIMAL)
    yield shop
    shop.close()


def test_without_the_standby_no_write_is_answered_as_done(
    stack: RunningStack, shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(tmp_path / "stock.dump")
    with Writer(shop) as before:
        until("writes on both disks", lambda: len(before.accepted) > QUEUED)
    assert {each.status for each in before.accepted} == {CREATED}
    stack.stop(STANDBY)
    with Writer(shop) as without:
        until("writes accepted for later", lambda: queued(without) >= QUEUED, 60)
        until("it is told", lambda: shop.level_at_flags().level > Level.OPTIMAL)
        read = shop.availability()
    assert run(["backup", file]) == 0
    capsys.readouterr()
    assert run(["restore", file, "--yes"]) == 3
    assert "do without what only it has: --no-standby" in " ".join(capsys.readouterr().err.split())
    stack.restore(STANDBY)

    assert {each.status for each in without.accepted} == {httpx.codes.ACCEPTED}
    assert read.status_code == httpx.codes.OK
    both_at(shop, Level.OPTIMAL, 90)
    assert until("a write on both disks again", lambda: shop.receive().status_code == CREATED)
    assert not_once(stack, shop, [*before.accepted, *without.accepted]) == {}


def test_the_disk_is_lost_and_nothing_that_was_answered_is(
    stack: RunningStack, shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(tmp_path / "stock.dump")
    assert run(["backup", file]) == 0
    with Writer(shop) as writer:
        until("writes after the backup", lambda: len(writer.accepted) > 20)
        lost_s = time.monotonic()
        stack.lose_data("postgresql")
        until("writes accepted for later", lambda: queued(writer) >= QUEUED)
        capsys.readouterr()
        assert run(["restore", file, "--yes", "--json"]) == 0
        statements = json.loads(capsys.readouterr().out)["statements"]
        until("a sale again", lambda: shop.reserve().status_code == CREATED, RTO_S)
        rto_s = time.monotonic() - lost_s
    with capsys.disabled():
        told = f"{len(writer.accepted)} writes accepted, {queued(writer)} of them for later, {statements} replayed"
        print(f"\nRTO {rto_s:.1f} s of {RTO_S:g}; {told}")
    both_at(shop, Level.OPTIMAL, 90)

    assert rto_s < RTO_S
    assert not_once(stack, shop, writer.accepted) == {}
    assert run_apart(violations(stack.env["DATABASE_URL"])) == {}
    assert run_apart(waited_for(stack)) == ""
    stack.lose_data(STANDBY)
    assert run_apart(waited_for(stack)) == "standby"


def not_once(stack: RunningStack, shop: Shop, accepted: list[Accepted]) -> dict[str, int]:
    """Return how often the ledger has what it does not have exactly once, when all that waited is applied."""
    until("everything that was accepted for later", lambda: not waiting(shop), 60)
    found = Counter(run_apart(references(stack.env["DATABASE_URL"])))
    return {each.reference: found[each.reference] for each in accepted if found[each.reference] != 1}


async def waited_for(stack: RunningStack) -> str:
    """Return which standby a commit waits for; nothing when for none."""
    connection = await asyncpg.connect(stack.env["DATABASE_URL"])
    try:
        return str(await connection.fetchval("SHOW synchronous_standby_names"))
    finally:
        await connection.close()
