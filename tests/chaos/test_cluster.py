"""Every experiment that loses a broker, on one stack with three (make test-chaos)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from resilience_chaos.run import Outcome, run_one
from resilience_chaos.table import Row, load_table
from tests.e2e.quick import quick_policy_text
from tests.fixtures.stack import RunningStack, running_stack

pytestmark = [pytest.mark.chaos, pytest.mark.e2e, pytest.mark.timeout(400)]


def loses_a_leader(row: Row) -> bool:
    return any(fault.kind == "leader-lost" for fault in row.faults)


ROWS = [row for row in load_table().experiments if loses_a_leader(row)]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    root = tmp_path_factory.mktemp("cluster")
    with running_stack(root, policy_text=quick_policy_text(), three_brokers=True) as stack:
        yield stack


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_cluster_goes_on(stack: RunningStack, outcomes: list[Outcome], row: Row) -> None:
    outcome = run_one(row, stack.root)
    outcomes.append(outcome)

    assert outcome.broken == ()
