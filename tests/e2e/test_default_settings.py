"""What the README promises with nothing configured: detection within 10 s, and a small stack."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from resilience_contracts import Level
from tests.e2e.shop import Shop
from tests.e2e.test_outages import both_at
from tests.fixtures.stack import RunningStack, running_stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

SWITCHED_WITHIN_S = 10
STACK_LIMIT_MB = 1800
PROCESS_LIMIT_MB = 150
PYTHON_PARTS = ("health-monitor", "degradation-engine", "inventory-api", "flag-service", "s3", "openai")


@pytest.fixture(scope="module")
def default_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    with running_stack(Path(tmp_path_factory.mktemp("default"))) as stack:
        yield stack


@pytest.fixture(scope="module")
def shop(default_stack: RunningStack) -> Iterator[Shop]:
    shop = Shop(
        default_stack.url("inventory-api"), default_stack.url("flag-service"), default_stack.operator_key()
    )
    shop.seed()
    yield shop
    shop.close()


def test_a_killed_postgresql_switches_both_consumers_within_ten_seconds(
    default_stack: RunningStack, shop: Shop
) -> None:
    both_at(shop, Level.OPTIMAL)

    default_stack.stop("postgresql")
    start = time.monotonic()
    both_at(shop, Level.MINIMAL, timeout_s=SWITCHED_WITHIN_S)

    assert time.monotonic() - start <= SWITCHED_WITHIN_S
    default_stack.restore("postgresql")


def test_the_stack_is_small(default_stack: RunningStack) -> None:
    rss_mb = default_stack.rss_mb()

    assert {name for name in PYTHON_PARTS if rss_mb[name] > PROCESS_LIMIT_MB} == set(), rss_mb
    assert sum(rss_mb.values()) <= STACK_LIMIT_MB, rss_mb
