from __future__ import annotations

import pytest

from resilience_contracts import Level, Version


@pytest.mark.parametrize(("rank", "level"), [(-3, Level.OPTIMAL), (2, Level.LIMITED), (9, Level.EMERGENCY)])
def test_an_unknown_level_is_read_by_its_rank(rank: int, level: Level) -> None:
    assert Level.from_rank(rank) is level


def test_promotion_is_one_step_and_ends_at_optimal() -> None:
    assert [level.better() for level in Level] == [
        Level.OPTIMAL,
        Level.OPTIMAL,
        Level.DEGRADED,
        Level.LIMITED,
        Level.MINIMAL,
    ]


def test_a_newer_epoch_is_newer_whatever_its_counter() -> None:
    assert Version(2, 0) > Version(1, 99)
    assert str(Version(7, 42)) == "7.42"
