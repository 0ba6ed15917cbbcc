from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flag_service.domain.ring import Frame, FrameKind, Mailbox, Ring


def fill(ring: Ring, count: int) -> list[Frame]:
    return [ring.append(FrameKind.STATE, "default", str.encode) for _ in range(count)]


def test_ids_count_up_and_name_the_boot() -> None:
    frames = fill(Ring("b"), 2)

    assert [frame.frame_id for frame in frames] == ["b-1", "b-2"]
    assert [frame.wire for frame in frames] == [b"b-1", b"b-2"]


@given(count=st.integers(0, 30), seen=st.integers(0, 30))
def test_a_client_gets_exactly_what_it_missed_or_is_told_that_it_cannot(count: int, seen: int) -> None:
    ring = Ring("b", capacity=10)
    frames = fill(ring, count)

    missed = ring.after(f"b-{seen}")

    if seen > count or count - seen > 10:
        assert missed is None
    else:
        assert missed == frames[seen:]


@pytest.mark.parametrize(
    "last", ["", "3", "other-3", "b-", "b--1", "b-x", "b-²", "b-99999999999999999999999", "b-1.0"]
)
def test_an_id_that_is_not_ours_is_not_replayed(last: str) -> None:
    ring = Ring("b")
    fill(ring, 5)

    assert ring.after(last) is None


def frame(number: int, scope: str = "default", kind: FrameKind = FrameKind.STATE) -> Frame:
    return Frame(kind, scope, b"", f"b-{number}")


def test_a_mailbox_hands_over_everything_in_order_once() -> None:
    mailbox = Mailbox()
    frames = [frame(number) for number in range(3)]
    for one in frames:
        assert mailbox.put(one)

    assert mailbox.drain() == frames
    assert mailbox.drain() == []


def test_a_slow_client_keeps_the_newest_of_each_kind_and_scope() -> None:
    mailbox = Mailbox(capacity=4)
    for number in range(100):
        assert mailbox.put(frame(number, f"s{number % 2}"))

    newest = mailbox.drain()

    assert len(newest) <= 4
    assert newest[-1] == frame(99, "s1")
    assert [one for one in newest if one.scope == "s0"][-1] == frame(98, "s0")


def test_a_client_that_cannot_even_keep_the_newest_is_given_up() -> None:
    mailbox = Mailbox(capacity=4)

    assert [mailbox.put(frame(number, f"s{number}")) for number in range(5)] == [True] * 4 + [False]
