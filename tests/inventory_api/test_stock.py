from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory_api.domain.adjustment import Adjustment, Reason, check_change
from inventory_api.domain.errors import (
    InsufficientStockError,
    InvalidAdjustmentError,
    QuantityOutOfRangeError,
)
from inventory_api.domain.sku import Sku
from inventory_api.domain.stock import ON_HAND_MAX, Bucket, Line, Place, Stock, StockLevel, bucket, demand

NOW = datetime(2026, 11, 25, tzinfo=UTC)
SKU = Sku("A", "Thing", None, (), {}, 0, 0, NOW)


def level(
    on_hand: int, reserved: int = 0, safety: int = 0, reorder: int = 0, location: str = "l"
) -> StockLevel:
    return StockLevel(1, Place("A", location), on_hand, reserved, 0, safety, reorder, 1, NOW)


def test_a_shortage_in_one_place_takes_nothing_from_another_b11() -> None:
    stock = Stock(SKU, (level(5, 5, 4, location="a"), level(3, location="b")), NOW)

    assert stock.available == 3


@pytest.mark.parametrize(
    ("available", "reorder", "said"),
    [(0, 0, "OUT"), (0, 5, "OUT"), (1, 0, "IN"), (5, 5, "LOW"), (6, 5, "IN")],
)
def test_buckets(available: int, reorder: int, said: str) -> None:
    assert bucket(available, reorder) is Bucket(said)


lines = st.lists(st.tuples(st.sampled_from("ABC"), st.sampled_from("xy"), st.integers(1, 9)), max_size=12)


@given(lines)
def test_demand_sums_and_does_not_depend_on_order(wanted: list[tuple[str, str, int]]) -> None:
    parts = [Line(Place(sku, location), quantity) for sku, location, quantity in wanted]

    total = demand(parts)

    assert list(total) == sorted(total)
    assert total == demand(reversed(parts))
    assert sum(total.values()) == sum(part.quantity for part in parts)


@given(st.integers(0, ON_HAND_MAX), st.integers(0, ON_HAND_MAX), st.integers(-(10**9), 10**9))
def test_a_change_leaves_what_is_held_and_what_can_be_counted(
    on_hand: int, reserved: int, delta: int
) -> None:
    try:
        check_change(Place("A", "l"), on_hand, reserved, delta)
    except InsufficientStockError:
        assert on_hand + delta < reserved
    except QuantityOutOfRangeError:
        assert on_hand + delta > ON_HAND_MAX
    else:
        assert reserved <= on_hand + delta <= ON_HAND_MAX


@pytest.mark.parametrize(
    ("delta", "reason"),
    [(0, "CORRECTION"), (5, "SALE"), (-5, "RECEIPT"), (5, "LOSS"), (-1, "RETURN"), (10**9 + 1, "RECEIPT")],
)
def test_an_adjustment_does_not_contradict_itself_b24(delta: int, reason: str) -> None:
    with pytest.raises(InvalidAdjustmentError):
        Adjustment(Place("A", "l"), delta, Reason(reason), "me", NOW)
