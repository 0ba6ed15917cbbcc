from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from resilience_chaos.report import write_report
from resilience_chaos.run import Outcome
from tests.e2e.quick import quick_policy

REPORTS = Path(__file__).parents[2] / ".stack/reports"


@pytest.fixture(scope="session")
def outcomes() -> Iterator[list[Outcome]]:
    """What came of each; the report is written at the end, however that comes."""
    at, outcomes = datetime.now(UTC), list[Outcome]()
    yield outcomes
    if outcomes:
        write_report(outcomes, quick_policy().sha256, at, REPORTS)
