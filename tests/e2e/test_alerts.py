"""A real Prometheus on the running system: a real fault fires its alerts, and its end resolves them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from resilience_cli.demo import await_level
from tests.e2e.shop import Shop, until
from tests.fixtures.prometheus import Prometheus, running_prometheus
from tests.fixtures.stack import RunningStack

pytestmark = [pytest.mark.e2e, pytest.mark.operations, pytest.mark.timeout(300)]

SERVICES = ("inventory-api", "flag-service", "health-monitor", "degradation-engine")
WAIT_S = 60
OF_AN_OUTAGE = {
    "LevelMinimalOrWorse",
    "LevelBudgetBurnsFast",
    "LevelBudgetBurns",
    "AvailabilityBudgetBurnsFast",
    "AvailabilityBudgetBurns",
    "BreakerOpen",
    "CommandsWait",
}
OF_A_LOST_LOG = {"LevelStale", "ChangesNotPublished"}


@pytest.fixture(scope="module")
def prometheus(quick_stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    await_level(quick_stack.url("flag-service"))
    targets = {name: quick_stack.url(f"{name}-metrics").removeprefix("http://") for name in SERVICES}
    with running_prometheus(Path(tmp_path_factory.mktemp("prometheus")), targets, for_s=0) as prometheus:
        until("metrics of every service", prometheus.targets_up, WAIT_S)
        yield prometheus


def firing(prometheus: Prometheus) -> set[str]:
    return {name for name, state in prometheus.alerts().items() if state == "firing"}


def fire_and_end(
    stack: RunningStack, prometheus: Prometheus, part: str, wanted: set[str], use: Callable[[], object]
) -> None:
    """Kill a part and use the shop until each alert has fired, then bring it back until none fires."""
    seen: set[str] = set()

    def all_seen() -> bool:
        use()
        seen.update(firing(prometheus))
        return seen >= wanted

    stack.stop(part)
    try:
        until("every alert", all_seen, WAIT_S)
    except AssertionError:
        assert seen >= wanted
    finally:
        stack.restore(part)
    until("the end of every alert", lambda: not firing(prometheus), WAIT_S)


def test_a_killed_database_fires_what_burns_and_waits(
    quick_stack: RunningStack, prometheus: Prometheus, shop: Shop
) -> None:
    until("no alert", lambda: not firing(prometheus), WAIT_S)

    fire_and_end(
        quick_stack, prometheus, "postgresql", OF_AN_OUTAGE, lambda: (shop.receive(), shop.reserve())
    )


def test_a_killed_log_fires_what_is_old_and_unpublished(
    quick_stack: RunningStack, prometheus: Prometheus, shop: Shop
) -> None:
    fire_and_end(quick_stack, prometheus, "kafka", OF_A_LOST_LOG, shop.receive)


def test_a_frozen_service_fires_its_alert(quick_stack: RunningStack, prometheus: Prometheus) -> None:
    quick_stack.pause("health-monitor")
    until("the frozen service seen", lambda: "ServiceDown" in firing(prometheus), WAIT_S)
    quick_stack.restore("health-monitor")
    until("the end of the alert", lambda: "ServiceDown" not in firing(prometheus), WAIT_S)
