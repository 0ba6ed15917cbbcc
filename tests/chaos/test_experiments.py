"""Every experiment of the table on one stack whose network, clocks and disks can fail (make test-chaos)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from resilience_chaos.run import Outcome, require_possible, run_one
from resilience_chaos.table import Row, load_table
from resilience_cli.errors import StackError
from tests.chaos.test_cluster import loses_a_leader
from tests.e2e.quick import quick_policy_text
from tests.fixtures.stack import RunningStack, running_stack

pytestmark = [pytest.mark.chaos, pytest.mark.e2e, pytest.mark.timeout(400)]
ROWS = [row for row in load_table().experiments if not loses_a_leader(row)]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    root = tmp_path_factory.mktemp("chaos")
    with running_stack(
        root, policy_text=quick_policy_text(), proxies=True, on_small_disks=("postgresql", "kafka")
    ) as stack:
        yield stack


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_an_experiment_goes_as_declared(stack: RunningStack, outcomes: list[Outcome], row: Row) -> None:
    try:
        require_possible([row], stack.root)
    except StackError as lacking:
        pytest.skip(str(lacking))

    outcome = run_one(row, stack.root)
    outcomes.append(outcome)

    assert outcome.broken == ()
