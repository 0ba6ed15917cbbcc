from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from health_monitor.domain import Rota


def test_the_first_and_then_one_in_six_is_full() -> None:
    rota, full = Rota(), []

    for _ in range(13):
        full.append(rota.full)
        rota = rota.after(hit=True)

    assert [turn for turn, is_full in enumerate(full) if is_full] == [0, 6, 12]


@given(st.lists(st.booleans(), max_size=30))
def test_after_a_miss_each_probe_is_full_until_one_succeeds(hits: list[bool]) -> None:
    rota = Rota()
    for hit in hits:
        rota = rota.after(hit=hit)

    missed = rota.after(hit=False)

    assert missed.full
    assert missed.after(hit=False).full
    assert not missed.after(hit=True).full
