from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory_api.domain.forecast import forecast, order_quantity


def test_weekdays_are_learnt() -> None:
    week = [10, 10, 10, 10, 10, 40, 0]

    ahead = forecast(week * 8, 7)

    assert ahead.by_weekday
    assert [round(day.expected) for day in ahead.days] == week


def test_the_first_day_ahead_is_the_right_weekday_whatever_the_history_length() -> None:
    week = [1, 2, 3, 4, 5, 6, 7]
    for cut in range(7):
        sold = (week * 10)[: 63 + cut]

        ahead = forecast(sold, 7)

        assert [round(day.expected) for day in ahead.days] == (week * 2)[cut : cut + 7]


def test_a_flat_history_is_continued() -> None:
    ahead = forecast([5] * 10, 3)

    assert not ahead.by_weekday
    assert [day.expected for day in ahead.days] == [5, 5, 5]
    assert ahead.total == 15


def test_no_sales_forecast_none() -> None:
    assert forecast([0] * 60, 14).total == 0
    assert forecast([], 2).total == 0


def test_the_interval_holds_about_four_days_in_five() -> None:
    rng = Random(7)
    inside = 0
    for _ in range(200):
        sold = [max(0, round(rng.gauss(50, 8))) for _ in range(91)]
        day = forecast(sold[:90], 1).days[0]
        inside += day.low <= sold[90] <= day.high

    assert inside / 200 == pytest.approx(0.8, abs=0.1)


@given(st.lists(st.integers(0, 10**9), max_size=120), st.integers(1, 90))
def test_forecasts_are_never_negative_and_lie_within_their_interval(sold: list[int], horizon: int) -> None:
    ahead = forecast(sold, horizon)

    assert len(ahead.days) == horizon
    for day in ahead.days:
        assert 0 <= day.low <= day.expected * (1 + 1e-9) <= day.high * (1 + 2e-9) + 1e-9


@given(
    st.integers(-(10**6), 10**6),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.floats(0, 10**4),
    st.integers(1, 365),
)
def test_what_is_ordered_lifts_the_position_over_the_reorder_point(
    position: int, safety: int, reorder: int, daily: float, cover: int
) -> None:
    quantity = order_quantity(position, safety, reorder, daily, cover)

    assert quantity >= 0
    assert position + quantity > reorder
    assert position + quantity >= daily * cover
