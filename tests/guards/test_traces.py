from __future__ import annotations

import json
from typing import Any

import pytest

from tests.guards.traces import DATA, Replay, Trace, traces

DIFFERENCES: dict[str, dict[str, Any]] = json.loads((DATA / "differences.json").read_text("utf-8"))
LISTED = {number for defect in DIFFERENCES.values() for number in defect["traces"]}
PARTS = 15


def first_difference(trace: Trace) -> str | None:
    for at, (seen, expected) in enumerate(zip(Replay(trace).steps(), trace.expected, strict=True)):
        if seen != expected:
            return (
                f"trace {trace.number}, step {at}, {trace.ops[at]}:\n  saw      {seen}\n  expected {expected}"
            )
    return None


@pytest.mark.parametrize("part", range(PARTS))
def test_each_step_equals_the_reference(part: int) -> None:
    different = {
        trace.number: difference
        for trace in traces()[part::PARTS]
        if (difference := first_difference(trace)) is not None
    }

    assert not {number: text for number, text in different.items() if number not in LISTED}
    assert not {number for number in LISTED if number % PARTS == part} - different.keys()


def test_all_1500_traces_are_there_and_each_difference_has_a_reason() -> None:
    assert len(traces()) == 1500
    assert sum(len(trace.ops) for trace in traces()) == 85_104
    assert all(len(defect["reason"]) > 20 for defect in DIFFERENCES.values())


def test_a_replay_can_differ() -> None:
    trace = next(trace for trace in traces() if any(step.transitions for step in trace.expected))
    broken = Trace(trace.number, trace.config | {"fr": 1, "sr": 1, "min": 1}, trace.ops, trace.expected)

    assert first_difference(broken) is not None
