"""Every experiment of the table, on a stack whose network can fail or one with three brokers (make test-chaos)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from resilience_chaos.report import write_report
from resilience_chaos.run import Outcome, require_possible, run_one
from resilience_chaos.table import Row, load_table
from resilience_cli.errors import StackError
from tests.e2e.quick import quick_policy, quick_policy_text
from tests.fixtures.stack import RunningStack, running_stack

pytestmark = [pytest.mark.chaos, pytest.mark.e2e, pytest.mark.timeout(400)]
REPORTS = Path(__file__).parents[2] / ".stack/reports"


STACKS: dict[str, dict[str, Any]] = {
    "network": {"proxies": True, "on_small_disks": ("postgresql", "kafka")},
    "cluster": {"three_brokers": True},
}


def stack_for(row: Row) -> str:
    return "cluster" if any(fault.kind == "leader-lost" for fault in row.faults) else "network"


ROWS = [pytest.param(stack_for(row), row, id=row.name) for row in load_table().experiments]


@pytest.fixture(scope="module")
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    root = tmp_path_factory.mktemp("chaos")
    with running_stack(root, policy_text=quick_policy_text(), **STACKS[request.param]) as stack:
        yield stack


@pytest.fixture(scope="module")
def outcomes() -> Iterator[list[Outcome]]:
    """What came of each; the report is written at the end, however that comes."""
    at, outcomes = datetime.now(UTC), list[Outcome]()
    yield outcomes
    if outcomes:
        write_report(outcomes, quick_policy().sha256, at, REPORTS)


@pytest.mark.parametrize(("stack", "row"), ROWS, indirect=["stack"])
def test_an_experiment_goes_as_declared(stack: RunningStack, outcomes: list[Outcome], row: Row) -> None:
    try:
        require_possible([row], stack.root)
    except StackError as lacking:
        pytest.skip(str(lacking))

    outcome = run_one(row, stack.root)
    outcomes.append(outcome)

    assert outcome.broken == ()
