from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory_api.domain.errors import NotHeldError, ReservationClosedError, ReservationExpiredError
from inventory_api.domain.reservation import (
    HeldLine,
    Reservation,
    ReservationState,
    Settlement,
    settle,
    state_after,
)
from inventory_api.domain.stock import Place

NOW = datetime(2026, 11, 25, tzinfo=UTC)
A, B = Place("A", "l"), Place("B", "l")


def held(**lines: int) -> Reservation:
    return Reservation(
        "r",
        "cart",
        ReservationState.ACTIVE,
        tuple(HeldLine(n, Place(sku, "l"), held, held) for n, (sku, held) in enumerate(lines.items())),
        NOW,
        NOW + timedelta(minutes=15),
    )


def test_without_lines_all_that_is_held_is_settled() -> None:
    assert settle(held(A=2, B=3), Settlement.CONFIRM, None, NOW) == {A: 2, B: 3}


def test_a_part_is_settled() -> None:
    assert settle(held(A=2, B=3), Settlement.RELEASE, {B: 1}, NOW) == {B: 1}


def test_more_than_held_is_refused() -> None:
    with pytest.raises(NotHeldError):
        settle(held(A=2), Settlement.CONFIRM, {A: 3}, NOW)
    with pytest.raises(NotHeldError):
        settle(held(A=2), Settlement.CONFIRM, {B: 1}, NOW)


def test_time_over_is_expired_to_the_instant() -> None:
    reservation = held(A=2)

    assert settle(reservation, Settlement.CONFIRM, None, reservation.expires_at - timedelta(microseconds=1))
    with pytest.raises(ReservationExpiredError):
        settle(reservation, Settlement.CONFIRM, None, reservation.expires_at)


def test_a_line_that_was_tidied_makes_it_expired_even_if_a_clock_went_back() -> None:
    reservation = held(A=2, B=1)
    tidied = replace(reservation.lines[0], held=0, expired=2)

    with pytest.raises(ReservationExpiredError):
        settle(replace(reservation, lines=(tidied, reservation.lines[1])), Settlement.CONFIRM, None, NOW)


@pytest.mark.parametrize(
    ("state", "settlement", "again"),
    [
        (ReservationState.CONFIRMED, Settlement.CONFIRM, True),
        (ReservationState.RELEASED, Settlement.RELEASE, True),
        (ReservationState.CONFIRMED, Settlement.RELEASE, False),
        (ReservationState.RELEASED, Settlement.CONFIRM, False),
    ],
)
def test_final_states_absorb(state: ReservationState, settlement: Settlement, again: bool) -> None:
    reservation = replace(held(A=2), state=state)

    if again:
        assert settle(reservation, settlement, None, NOW) == {}
    else:
        with pytest.raises(ReservationClosedError):
            settle(reservation, settlement, None, NOW)
    with pytest.raises(ReservationClosedError):
        settle(reservation, settlement, {A: 1}, NOW)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=5))
def test_the_state_follows_the_lines(parts: list[tuple[int, int, int]]) -> None:
    lines = [HeldLine(n, A, sum(part), part[0], part[1], part[2]) for n, part in enumerate(parts)]
    on_hold, confirmed, released = (sum(part[n] for part in parts) for n in range(3))

    state = state_after(lines)

    assert (state is ReservationState.ACTIVE) == (confirmed + released == 0)
    assert state.final == (on_hold == 0 and confirmed + released > 0)
    assert (state is ReservationState.CONFIRMED) == (on_hold == 0 and confirmed > 0)
