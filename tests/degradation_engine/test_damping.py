from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from degradation_engine.domain.damping import Damper, demoted, penalty, promote_at
from tests.degradation_engine.shop import POLICY

MINUTE_MS = 60_000


def after_demotions(count: int, apart_ms: int = MINUTE_MS) -> Damper:
    damper = Damper()
    for index in range(count):
        damper = demoted(damper, POLICY, index * apart_ms)
    return damper


def test_a_penalty_halves_in_fifteen_minutes() -> None:
    damper = demoted(Damper(), POLICY, 0)

    assert penalty(damper, POLICY, 0) == 1
    assert penalty(damper, POLICY, 15 * MINUTE_MS) == pytest.approx(0.5)


def test_one_demotion_does_not_slow_promotion() -> None:
    assert promote_at(after_demotions(1), POLICY, 0) == 2 * MINUTE_MS


def test_three_demotions_in_three_minutes_make_promotion_wait_four_times_as_long() -> None:
    damper = after_demotions(3)

    assert damper.slow
    assert promote_at(damper, POLICY, 3 * MINUTE_MS) == 11 * MINUTE_MS


def test_the_normal_dwell_is_back_once_the_penalty_is_under_one() -> None:
    damper = after_demotions(3)
    calm_ms = 3 * MINUTE_MS
    while penalty(damper, POLICY, calm_ms) >= 1:
        calm_ms += 1000

    since_ms = calm_ms - 3 * MINUTE_MS
    assert promote_at(damper, POLICY, since_ms) == pytest.approx(calm_ms, abs=1001)
    assert promote_at(damper, POLICY, calm_ms) == calm_ms + 2 * MINUTE_MS


@given(st.lists(st.integers(0, 7_200_000), max_size=30))
def test_the_penalty_stays_within_its_cap(gaps_ms: list[int]) -> None:
    damper, now_ms = Damper(), 0
    for gap_ms in gaps_ms:
        now_ms += gap_ms
        damper = demoted(damper, POLICY, now_ms)

        assert 0 <= damper.penalty <= POLICY.damping.penalty_cap


@given(st.integers(1, 30), st.integers(0, 3_600_000))
def test_damping_never_makes_promotion_come_sooner_nor_later_than_four_dwells(
    demotions: int, since_ms: int
) -> None:
    damper = after_demotions(demotions)

    due_ms = promote_at(damper, POLICY, since_ms)

    assert since_ms + 2 * MINUTE_MS <= due_ms <= since_ms + 8 * MINUTE_MS
