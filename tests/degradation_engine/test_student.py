from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from degradation_engine.domain.student import survival

# Upper 10 % and 2.5 % points: Abramowitz and Stegun, table 26.10.
TABLE = [
    (1, 3.078, 12.706),
    (2, 1.886, 4.303),
    (3, 1.638, 3.182),
    (4, 1.533, 2.776),
    (5, 1.476, 2.571),
    (10, 1.372, 2.228),
    (30, 1.310, 2.042),
    (120, 1.289, 1.980),
    (10_000, 1.282, 1.960),
]


@pytest.mark.parametrize(("df", "ten", "two_and_a_half"), TABLE)
def test_the_tail_agrees_with_the_printed_table(df: int, ten: float, two_and_a_half: float) -> None:
    assert survival(ten, df) == pytest.approx(0.1, abs=2e-4)
    assert survival(two_and_a_half, df) == pytest.approx(0.025, abs=5e-5)


def test_the_normal_approximation_takes_over_without_a_step() -> None:
    for t in (0.5, 1.0, 2.0, 3.0):
        assert survival(t, 200) == pytest.approx(survival(t, 201), rel=5e-3)


@given(st.floats(-50, 50), st.floats(0, 5), st.integers(1, 400))
def test_the_tail_falls_and_is_symmetric(t: float, step: float, df: int) -> None:
    assert survival(t + step, df) <= survival(t, df) + 1e-12
    assert survival(t, df) + survival(-t, df) == pytest.approx(1)
