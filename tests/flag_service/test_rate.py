from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flag_service.domain.rate import RateLimit


def test_a_burst_passes_and_then_the_caller_waits_a_whole_second_at_least() -> None:
    limit = RateLimit(2)

    assert [limit.wait_s("a", 0) for _ in range(4)] == [0, 0, 0, 0]
    assert limit.wait_s("a", 0) == 1
    assert limit.wait_s("a", 0.5) == 0


def test_callers_do_not_share() -> None:
    limit = RateLimit(1)
    while limit.wait_s("a", 0) == 0:
        pass

    assert limit.wait_s("b", 0) == 0


def test_a_slow_rate_says_how_long() -> None:
    limit = RateLimit(0.5)

    assert [limit.wait_s("a", 0), limit.wait_s("a", 0)] == [0, 2]


def test_only_so_many_callers_are_remembered() -> None:
    limit = RateLimit(1, callers=3)
    for number in range(100):
        limit.wait_s(str(number), 0)

    assert len(limit._buckets) == 3


@given(times=st.lists(st.floats(0, 100), max_size=300), rate=st.integers(1, 5))
def test_no_caller_ever_passes_more_than_its_rate_and_burst(times: list[float], rate: int) -> None:
    limit = RateLimit(rate)
    ordered = sorted(times)

    passed = [now for now in ordered if limit.wait_s("a", now) == 0]

    for start in passed:
        within = [now for now in passed if start <= now <= start + 1]
        assert len(within) <= 3 * rate + 1
