"""Every experiment of the table on one stack whose network can fail (make test-chaos)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from resilience_chaos.report import write_report
from resilience_chaos.run import Outcome, run_one
from resilience_chaos.table import Row, load_table
from tests.e2e.quick import quick_policy, quick_policy_text
from tests.fixtures.stack import RunningStack, running_stack

pytestmark = [pytest.mark.chaos, pytest.mark.e2e, pytest.mark.timeout(400)]
REPORTS = Path(__file__).parents[2] / ".stack/reports"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    root = tmp_path_factory.mktemp("chaos")
    with running_stack(root, policy_text=quick_policy_text(), proxies=True) as stack:
        yield stack


@pytest.fixture(scope="module")
def outcomes() -> Iterator[list[Outcome]]:
    """What came of each; the report is written at the end, however that comes."""
    at, outcomes = datetime.now(UTC), list[Outcome]()
    yield outcomes
    if outcomes:
        write_report(outcomes, quick_policy().sha256, at, REPORTS)


@pytest.mark.parametrize("row", load_table().experiments, ids=lambda row: row.name)
def test_an_experiment_goes_as_declared(stack: RunningStack, outcomes: list[Outcome], row: Row) -> None:
    outcome = run_one(row, stack.root)
    outcomes.append(outcome)

    assert outcome.broken == ()
