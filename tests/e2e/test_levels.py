"""Each level by itself, held by an operator while nothing is down: what the feature table says of it is what happens."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from resilience_contracts import Level
from tests.e2e.behaviour import check_behaviour, prepare
from tests.e2e.quick import quick_policy
from tests.e2e.shop import Shop
from tests.e2e.test_outages import both_at
from tests.fixtures.stack import RunningStack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

POLICY = quick_policy()


@pytest.fixture(scope="module")
def shop(quick_stack: RunningStack) -> Iterator[Shop]:
    shop = Shop(quick_stack.url("inventory-api"), quick_stack.url("flag-service"), quick_stack.operator_key())
    shop.seed()
    both_at(shop, Level.OPTIMAL)
    prepare(shop)
    yield shop
    shop.close()


@pytest.mark.parametrize("level", list(Level), ids=lambda level: level.name)
def test_every_feature_behaves_as_the_table_says_at_a_level(shop: Shop, level: Level) -> None:
    shop.hold_level(level)
    try:
        both_at(shop, level)

        check_behaviour(shop, (), level, POLICY)
    finally:
        shop.end_hold("level")
