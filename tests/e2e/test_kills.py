"""Processes killed while the level changes: no version goes back, consumers keep answering."""

from __future__ import annotations

import threading
import time
from typing import Self

import httpx
import pytest

from resilience_contracts import Level
from tests.e2e.shop import Seen, Shop, until
from tests.e2e.test_outages import both_at
from tests.fixtures.stack import RunningStack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


class Onlooker:
    """Asks both consumers all the time; keeps every version seen and every answer that failed."""

    def __init__(self, stack: RunningStack) -> None:
        self._shop = Shop(stack.url("inventory-api"), stack.url("flag-service"), stack.operator_key())
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.versions: dict[str, list[tuple[int, int]]] = {"inventory-api": [], "flag-service": []}
        self.failures: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(30)
        self._shop.close()

    def _look(self) -> None:
        while not self._end.wait(0.05):
            for name, look in (
                ("inventory-api", self._shop.level_at_inventory),
                ("flag-service", self._shop.level_at_flags),
                ("availability", lambda: self._shop.availability().raise_for_status()),
                ("evaluation", self._shop.features_at_flags),
            ):
                try:
                    seen = look()
                except httpx.HTTPError as error:
                    self.failures.append(f"{name}: {error!r}")
                    continue
                if isinstance(seen, Seen):
                    self.versions[name].append(seen.version)


@pytest.mark.parametrize("victim", ["degradation-engine", "health-monitor", "kafka"])
def test_a_kill_during_a_change_loses_nothing(quick_stack: RunningStack, shop: Shop, victim: str) -> None:
    both_at(shop, Level.OPTIMAL)
    shop.availability()  # what was read once can be answered from the last known figures
    with Onlooker(quick_stack) as onlooker:
        quick_stack.stop("postgresql")
        time.sleep(1.5)  # somewhere within detection; each run hits another moment
        quick_stack.stop(victim)
        quick_stack.restore(victim)
        during = both_at(shop, Level.MINIMAL, timeout_s=90)
        quick_stack.restore("postgresql")
        after = both_at(shop, Level.OPTIMAL, timeout_s=90)

    assert during < after
    assert onlooker.failures == []
    for name, versions in onlooker.versions.items():
        assert versions, name
        assert versions == sorted(versions), f"{name} saw a version go back"


def test_without_kafka_consumers_keep_their_level_and_say_that_it_is_stale(
    quick_stack: RunningStack, shop: Shop
) -> None:
    before = both_at(shop, Level.OPTIMAL)
    quick_stack.stop("kafka")

    def stale_level() -> Seen | None:
        seen = shop.level_at_inventory()
        return seen if seen is not None and seen.stale else None

    stale = until("a stale level", stale_level, timeout_s=30)

    assert (stale.level, stale.version) == (Level.OPTIMAL, before)
    assert shop.availability().status_code == httpx.codes.OK
    assert shop.reserve().status_code == httpx.codes.CREATED
    quick_stack.restore("kafka")
    assert both_at(shop, Level.OPTIMAL, timeout_s=90) >= before
