"""The drill: PostgreSQL's disk is destroyed under writers, and the shop is back with every write that was accepted."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from resilience_cli.main import run
from resilience_cli.stack import run_apart
from resilience_contracts import Level
from tests.e2e.shop import Shop, until
from tests.e2e.test_outages import both_at
from tests.e2e.writer import Writer, queued, references, violations, waiting
from tests.fixtures.stack import RunningStack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

RTO_S = 120.0
PUBLISHED_S = 1.0
"""What was written longer ago is in the log of writes, unless `inventory_redo_age_seconds` says otherwise."""
QUEUED = 20


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
