from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.quick import quick_policy_text
from tests.e2e.shop import Shop
from tests.fixtures.stack import RunningStack, running_stack


@pytest.fixture(scope="package")
def quick_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """Everything up on free ports, with short dwell times, until the last end-to-end test of the process."""
    root = Path(tmp_path_factory.mktemp("quick"))
    with running_stack(root, policy_text=quick_policy_text()) as stack:
        yield stack


@pytest.fixture(scope="module")
def shop(quick_stack: RunningStack) -> Iterator[Shop]:
    """A shop with demo stock on the quick stack."""
    shop = Shop(quick_stack.url("inventory-api"), quick_stack.url("flag-service"), quick_stack.operator_key())
    shop.seed()
    yield shop
    shop.close()
