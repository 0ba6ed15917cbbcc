from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flag_service.domain.ring import FrameKind, Ring
from resilience_delivery import Frame


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
