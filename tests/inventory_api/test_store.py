from __future__ import annotations

import pytest

from inventory_api.adapters.memory import MemoryStore
from resilience_runtime import ManualClock
from tests.inventory_api.store_contract import StoreContract, Wait


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(clock: ManualClock) -> MemoryStore:
    return MemoryStore(clock)


@pytest.fixture
def wait(clock: ManualClock) -> Wait:
    def move(seconds: float) -> None:
        clock._elapsed_s += seconds

    return move


class TestMemoryStore(StoreContract):
    pass
