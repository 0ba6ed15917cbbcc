"""A real Prometheus on the running system: a real fault fires its alert, and its end resolves it."""

from __future__ import annotations

from pathlib import Path

import pytest

from resilience_cli.demo import await_level
from tests.e2e.shop import until
from tests.fixtures.prometheus import running_prometheus
from tests.fixtures.stack import RunningStack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

SERVICES = ("inventory-api", "flag-service", "health-monitor", "degradation-engine")
WAIT_S = 60


def test_faults_fire_their_alerts_and_their_end_resolves_them(
    quick_stack: RunningStack, tmp_path: Path
) -> None:
    await_level(quick_stack.url("flag-service"))
    targets = {name: quick_stack.url(f"{name}-metrics").removeprefix("http://") for name in SERVICES}

    with running_prometheus(tmp_path, targets, for_s=0) as prometheus:
        until("metrics of every service", prometheus.targets_up, WAIT_S)
        until("no alert", lambda: not prometheus.alerts(), WAIT_S)

        quick_stack.stop("postgresql")
        until("somebody woken", lambda: prometheus.alerts().get("LevelMinimalOrWorse") == "firing", WAIT_S)
        quick_stack.restore("postgresql")
        until("the end of the alert", lambda: "LevelMinimalOrWorse" not in prometheus.alerts(), WAIT_S)

        quick_stack.pause("health-monitor")
        until("the frozen service seen", lambda: "ServiceDown" in prometheus.alerts(), WAIT_S)
        quick_stack.restore("health-monitor")
        until("the end of the alert", lambda: "ServiceDown" not in prometheus.alerts(), WAIT_S)
