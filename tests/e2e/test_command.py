"""The `resilience` command against the whole running system."""

from __future__ import annotations

import json

import httpx
import pytest

from resilience_cli.demo import SKUS, await_level, seed
from resilience_cli.main import run
from resilience_contracts import Level
from tests.e2e.shop import Shop, until
from tests.fixtures.stack import RunningStack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


@pytest.fixture(autouse=True)
def here(quick_stack: RunningStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESILIENCE_STACK_DIR", str(quick_stack.root))


def test_demo_data_is_there_once_however_often_it_is_seeded(quick_stack: RunningStack) -> None:
    await_level(quick_stack.url("flag-service"))
    seed(quick_stack.url("inventory-api"))
    seed(quick_stack.url("inventory-api"))

    sku, _, _, stock = SKUS[1]
    answer = httpx.get(f"{quick_stack.url('inventory-api')}/v1/stock/{sku}", trust_env=False).json()
    assert sum(level["on_hand"] for level in answer["locations"]) == sum(stock)


def test_smoke_passes_and_status_knows_everything(
    quick_stack: RunningStack, capsys: pytest.CaptureFixture[str]
) -> None:
    await_level(quick_stack.url("flag-service"))

    smoke = run(["smoke", "--json"])
    checks = json.loads(capsys.readouterr().out)["checks"]
    status = run(["status", "--json"])
    document = json.loads(capsys.readouterr().out)

    assert smoke == 0, checks
    assert status == 0
    assert set(document["level"]["dependencies"]) == {"openai", "postgresql", "redis", "s3"}
    assert len(document["features"]) == 16


def test_smoke_fails_when_a_service_is_gone(
    quick_stack: RunningStack, capsys: pytest.CaptureFixture[str]
) -> None:
    quick_stack.stop("flag-service")
    try:
        assert run(["smoke"]) == 1
    finally:
        quick_stack.restore("flag-service")

    text = capsys.readouterr().out
    assert text.count("PASS") == 4
    assert text.count("FAIL") == 2


def test_the_gate_passes_a_quiet_system_and_stops_at_once_at_a_worse_level(
    quick_stack: RunningStack, shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    until("OPTIMAL", lambda: shop.level_at_flags().level is Level.OPTIMAL, 120)
    quiet = run(["rollout", "gate", "--for", "3s", "--json"])
    passed = json.loads(capsys.readouterr().out)

    quick_stack.stop("redis")
    try:
        worse = run(["rollout", "gate", "--for", "2m", "--json"])
        stopped = json.loads(capsys.readouterr().out)
        late = run(["rollout", "gate", "--for", "2m", "--json"])
    finally:
        quick_stack.restore("redis")

    refused = json.loads(capsys.readouterr().out)
    assert (quiet, passed["passed"], passed["level"]) == (0, True, "OPTIMAL"), passed
    assert (worse, stopped["reason"]) == (1, "the level is DEGRADED and was OPTIMAL")
    assert stopped["watched_s"] < 60
    assert (late, refused["begun"], refused["reason"]) == (1, False, "the level is DEGRADED already")
