from __future__ import annotations

import pytest

from inventory_api.adapters.sql.writes import CALM, MANY, QUIET_S, WATCHED, Writes


def told(pattern: str) -> Writes:
    writes = Writes()
    for one in pattern:
        writes.note(0.0, failed=one == "x")
    return writes


@pytest.mark.parametrize(
    ("pattern", "refused"),
    [
        ("", False),
        ("." * WATCHED, False),
        ("x" * (MANY - 1), False),
        ("x" * MANY, True),
        ("x.." * MANY, True),
        ("x......" * MANY, False),
        ("x" * MANY + "." * (CALM - 1), True),
        ("x" * MANY + "." * CALM, False),
        ("x" * WATCHED + "." * CALM, False),
        ("x" * MANY + ("." * (CALM - 1) + "x") * WATCHED, True),
    ],
)
def test_many_failures_say_that_writes_are_refused_and_a_run_of_successes_that_they_no_longer_are(
    pattern: str, refused: bool
) -> None:
    assert told(pattern).refused(0.0) is refused


def test_what_was_forgotten_counts_no_more() -> None:
    writes = told("x" * WATCHED)

    writes.forget()

    assert not writes.refused(0.0)
    writes.note(0.0, failed=True)
    assert not writes.refused(0.0)


def test_a_shop_where_nobody_writes_is_well_again_by_itself() -> None:
    writes = told("x" * WATCHED)

    assert writes.refused(QUIET_S - 1)
    assert not writes.refused(QUIET_S)
    writes.note(QUIET_S, failed=True)
    assert not writes.refused(QUIET_S), "what was long ago is no part of what is new"
