from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from resilience_guards.window import CallWindow, TimeWindow

BITS = st.integers(0, 3)
RECORDS = st.lists(st.tuples(BITS, st.sampled_from([0.0, 0.1, 0.9, 1.0, 3.0, 50.0])), max_size=60)


@given(size=st.integers(1, 12), bits=st.lists(BITS, max_size=60))
def test_7_counters_of_a_call_window_equal_a_recount(size: int, bits: list[int]) -> None:
    window = CallWindow(size)

    for each in bits:
        window.record(each, 0.0)

    kept = bits[-size:]
    assert (window.calls, window.failed, window.slow) == (
        len(kept),
        sum(each & 1 for each in kept),
        sum(each >> 1 for each in kept),
    )


@given(buckets=st.integers(1, 6), records=RECORDS)
def test_7_counters_of_a_time_window_equal_a_recount(buckets: int, records: list[tuple[int, float]]) -> None:
    window, now_s, kept = TimeWindow(buckets, 1.0), 10.0, []

    for bits, pause_s in records:
        now_s += pause_s
        kept.append((bits, now_s // 1))
        window.record(bits, now_s)

        expected = [bits for bits, second in kept if second > now_s // 1 - buckets]
        assert (window.calls, window.failed, window.slow) == (
            len(expected),
            sum(each & 1 for each in expected),
            sum(each >> 1 for each in expected),
        )
        counts = window.counts(now_s)
        assert (counts.calls, counts.failed, counts.slow) == (window.calls, window.failed, window.slow)


def test_reading_a_time_window_changes_nothing() -> None:
    window = TimeWindow(3, 1.0)
    window.record(1, 10.0)

    assert window.counts(100.0).calls == 0
    assert window.counts(11.0).calls == 1


@given(bits=st.lists(BITS, min_size=1, max_size=30), size=st.integers(1, 8))
def test_a_record_that_says_no_rate_rose_is_right(bits: list[int], size: int) -> None:
    window = CallWindow(size)

    for each in bits:
        before = (window.calls, window.failed, window.slow)
        if not window.record(each, 0.0):
            assert (window.calls, window.failed, window.slow) == before
