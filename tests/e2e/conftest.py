from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.quick import quick_policy_text
from tests.fixtures.stack import RunningStack, running_stack


@pytest.fixture(scope="package")
def quick_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """Everything up on free ports, with short dwell times, until the last end-to-end test of the process."""
    root = Path(tmp_path_factory.mktemp("quick"))
    with running_stack(root, policy_text=quick_policy_text()) as stack:
        yield stack
