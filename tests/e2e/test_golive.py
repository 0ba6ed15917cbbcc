"""The checklists on the whole running system: what is so passes, what is not fails, and a fault shows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from resilience_cli.golive import Checklist
from resilience_cli.golive_points import POINTS
from resilience_cli.main import run
from resilience_contracts import Level
from tests.e2e.shop import Shop, until
from tests.e2e.test_alerts import SERVICES, WAIT_S
from tests.e2e.test_outages import both_at
from tests.fixtures.prometheus import running_prometheus
from tests.fixtures.stack import RunningStack

pytestmark = [pytest.mark.e2e, pytest.mark.operations, pytest.mark.timeout(300)]

NOT_HERE = {"kafka-copies", "kafka-access", "kafka-rights", "keys", "replicas", "alertmanager"}
"""One broker that asks nobody, one replica of each, doors that are open, and no Alertmanager."""


@pytest.fixture(autouse=True)
def here(quick_stack: RunningStack, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("RESILIENCE_STACK_DIR", str(quick_stack.root))
    monkeypatch.delenv("RESILIENCE_API_KEY", raising=False)
    both_at(shop, Level.OPTIMAL)
    yield
    for part in ("redis", "flag-service"):
        quick_stack.restore(part)


def failed(capsys: pytest.CaptureFixture[str], checklist: Checklist) -> set[str]:
    """Return what fails but for dead letters, of which other tests leave some."""
    capsys.readouterr()
    code = run(["golive", "check", checklist.value, "--json"])
    told = capsys.readouterr()

    assert code == 1, told.err
    points = {point["name"]: point for point in json.loads(told.out)["points"]}
    assert list(points) == [point.name for point in POINTS[checklist]]
    assert {point["verdict"] for point in points.values()} <= {"PASS", "FAIL", "MANUAL"}
    assert all("{" not in point["evidence"] for point in points.values())
    run(["dlq", "list", "--since", "1d", "--json"])
    groups = json.loads(capsys.readouterr().out)["groups"]
    waits = any(group["letters"] > group["replayed"] for group in groups)
    assert points["dead-letters"]["verdict"] == ("FAIL" if waits else "PASS")
    return {name for name, point in points.items() if point["verdict"] == "FAIL"} - {"dead-letters"}


def test_of_the_stack_on_this_machine_all_is_so_but_what_needs_more_machines(
    quick_stack: RunningStack,
    shop: Shop,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    targets = {name: quick_stack.url(f"{name}-metrics").removeprefix("http://") for name in SERVICES}
    with running_prometheus(tmp_path, targets, for_s=0) as prometheus:
        until("metrics of every service", prometheus.targets_up, WAIT_S)
        monkeypatch.setenv("PROMETHEUS_URL", prometheus.url)

        assert failed(capsys, Checklist.GO_LIVE) == NOT_HERE

    quick_stack.restart("inventory-api", ANONYMOUS_SCOPES="")
    try:
        until("ready", lambda: shop.inventory.get("/health/ready").is_success)
        # What the restart cut off may lower the level for a moment, once it is noticed.
        until("all but what needs a key", lambda: failed(capsys, Checklist.DEPLOYMENT) == {"smoke"})
        monkeypatch.setenv("RESILIENCE_API_KEY", quick_stack.operator_key())
        until("every point", lambda: failed(capsys, Checklist.DEPLOYMENT) == set())
        assert "keys" not in failed(capsys, Checklist.GO_LIVE)
    finally:
        quick_stack.restart("inventory-api", ANONYMOUS_SCOPES="read,reserve,write")
        until("ready", lambda: shop.inventory.get("/health/ready").is_success)


def test_each_fault_fails_its_points(
    quick_stack: RunningStack, shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.hold("integrations.ai_assistant", "DISABLED")
    try:
        assert failed(capsys, Checklist.DEPLOYMENT) == {"holds"}
    finally:
        shop.end_hold("integrations.ai_assistant")
    quick_stack.stop("redis")
    both_at(shop, Level.DEGRADED)
    quick_stack.stop("flag-service")

    assert failed(capsys, Checklist.DEPLOYMENT) == {"level", "ready", "smoke", "holds"}
