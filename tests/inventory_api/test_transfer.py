"""Steps of a transfer: whatever is done in whatever order, nothing appears and nothing vanishes (invariant 8)."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory_api.domain.adjustment import Reason
from inventory_api.domain.count import Since, delta_of
from inventory_api.domain.errors import InvalidTransferError, NotInTransitError, TransferClosedError
from inventory_api.domain.stock import Place
from inventory_api.domain.transfer import (
    NewTransfer,
    Step,
    Transfer,
    TransferLine,
    TransferState,
    cancel,
    receive,
    ship,
    ship_and_receive,
)

NOW = datetime(2026, 11, 25, tzinfo=UTC)


def draft(*quantities: int) -> Transfer:
    lines = tuple(TransferLine(f"S{number}", quantity) for number, quantity in enumerate(quantities))
    return Transfer("t", "here", "there", TransferState.DRAFT, lines, None, NOW, NOW)


def test_a_transfer_goes_somewhere_b25() -> None:
    with pytest.raises(InvalidTransferError):
        NewTransfer("here", "here", {"S0": 1})


def test_what_is_shipped_is_in_transit_until_it_arrives() -> None:
    shipped = ship(draft(5)).transfer
    half = receive(shipped, {"S0": 3}, close=False).transfer
    whole = receive(half, None, close=False).transfer

    assert (shipped.lines[0].in_transit, half.lines[0].in_transit) == (5, 2)
    assert (half.state, whole.state) == (TransferState.SHIPPED, TransferState.RECEIVED)
    assert receive(whole, None, close=False).moves == ()
    with pytest.raises(TransferClosedError):
        cancel(whole)


def test_more_than_is_in_transit_does_not_arrive() -> None:
    shipped = ship(draft(5)).transfer

    with pytest.raises(NotInTransitError, match="5 of S0"):
        receive(shipped, {"S0": 6}, close=False)
    with pytest.raises(TransferClosedError):
        receive(draft(5), {"S0": 1}, close=False)
    with pytest.raises(TransferClosedError):
        ship(shipped)


def test_a_short_delivery_is_written_off_at_the_destination() -> None:
    step = receive(ship(draft(5)).transfer, {"S0": 3}, close=True)

    assert [(move.delta, move.reason) for move in step.moves] == [
        (5, Reason.TRANSFER_IN),
        (-2, Reason.LOSS),
    ]
    assert (step.transfer.state, step.transfer.lines[0].lost) == (TransferState.RECEIVED, 2)


@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=3),
    st.lists(
        st.one_of(
            st.just(ship),
            st.just(cancel),
            st.just(ship_and_receive),
            st.builds(
                lambda parts, close: lambda transfer: receive(transfer, parts, close=close),
                st.none() | st.dictionaries(st.sampled_from(["S0", "S1"]), st.integers(1, 9)),
                st.booleans(),
            ),
        ),
        max_size=6,
    ),
)
def test_on_hand_and_in_transit_add_up_to_what_there_was(quantities: list[int], steps: list[object]) -> None:
    transfer, on_hand, incoming = draft(*quantities), Counter[Place](), Counter[Place]()
    for take in steps:
        try:
            step = take(transfer)  # type: ignore[operator]
        except (TransferClosedError, NotInTransitError):
            continue
        assert isinstance(step, Step)
        transfer = step.transfer
        for move in step.moves:
            on_hand[move.place] += move.delta
        for place, delta in step.incoming:
            incoming[place] += delta

        for line in transfer.lines:
            here, there = Place(line.sku, "here"), Place(line.sku, "there")
            assert on_hand[here] + on_hand[there] + line.in_transit + line.lost == 0
            assert incoming[there] == line.in_transit >= 0
        assert (transfer.state is TransferState.SHIPPED) == any(line.in_transit for line in transfer.lines)


@pytest.mark.parametrize(
    ("counted", "on_hand", "since", "delta"),
    [
        (10, 8, Since(0, counted_again=False), 2),
        (10, 6, Since(-2, counted_again=False), 2),
        (10, 6, Since(-2, counted_again=True), 0),
        (0, 5, Since(3, counted_again=False), -2),
    ],
)
def test_a_count_keeps_what_happened_after_it(counted: int, on_hand: int, since: Since, delta: int) -> None:
    assert delta_of(counted, on_hand, since) == delta
