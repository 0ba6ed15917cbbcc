"""A real Prometheus on the running system: a real fault fires its alert, and its end resolves it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from resilience_cli.demo import await_level
from tests.fixtures.prometheus import running_prometheus
from tests.fixtures.stack import RunningStack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

SERVICES = ("inventory-api", "flag-service", "health-monitor", "degradation-engine")
WAIT_S = 60.0


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


def test_faults_fire_their_alerts_and_their_end_resolves_them(
    quick_stack: RunningStack, tmp_path: Path
) -> None:
    await_level(quick_stack.url("flag-service"))
    targets = {name: quick_stack.url(f"{name}-metrics").removeprefix("http://") for name in SERVICES}

    with running_prometheus(tmp_path, targets, for_s=0) as prometheus:
        until(prometheus.targets_up, "a service gives no metrics")
        until(lambda: not prometheus.alerts(), "an alert fires though all is well")

        quick_stack.stop("postgresql")
        until(lambda: prometheus.alerts().get("LevelMinimalOrWorse") == "firing", "nobody is woken")
        quick_stack.restore("postgresql")
        until(lambda: "LevelMinimalOrWorse" not in prometheus.alerts(), "the alert does not end")

        quick_stack.pause("health-monitor")
        until(lambda: "ServiceDown" in prometheus.alerts(), "a frozen service is not seen")
        quick_stack.restore("health-monitor")
        until(lambda: "ServiceDown" not in prometheus.alerts(), "the alert does not end")
