"""What is usual, and what is worth a warning: pure figures."""

from __future__ import annotations

import math
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from degradation_engine.domain.instant import DAY_MS
from degradation_engine.domain.usual import HOUR_MS, HOURS, LEVEL_RATE, Usual, quick_ms, trifling, warned
from resilience_contracts import EarlyWarning, Observation, Outcome
from tests.degradation_engine.shop import START

RULE = EarlyWarning(times_usual=3.5, share_of_objective=0.2)
latencies_ms = st.floats(0, 600_000, allow_nan=False)


def recent(*latencies: float, missed: int = 0) -> list[Observation]:
    hits = [Observation(outcome=Outcome.OK, latency_ms=one, at=START) for one in latencies]
    return [*hits, *[Observation(outcome=Outcome.TIMEOUT, latency_ms=5000, at=START)] * missed]


def learnt(latency_ms: float, hours: int = 24, first_ms: int = 0) -> Usual:
    usual = Usual()
    for minute in range(hours * 60):
        usual.learn(latency_ms, first_ms + minute * 60_000, 60_000)
    return usual


@given(latencies_ms, st.integers(0, 3 * DAY_MS))
def test_what_never_changes_is_exactly_usual(latency_ms: float, first_ms: int) -> None:
    usual = learnt(latency_ms, 2, first_ms)

    assert usual.slowness(latency_ms, first_ms + 2 * HOUR_MS) == pytest.approx(1.0, abs=1e-5)


def test_nothing_is_unusual_before_an_hour_is_learnt() -> None:
    usual = Usual()
    for minute in range(1, 60):
        usual.learn(5, minute * 60_000, 60_000)
        assert usual.slowness(5000, minute * 60_000) == 0
    usual.learn(5, HOUR_MS, 60_000)

    assert usual.slowness(50, HOUR_MS) == pytest.approx(10, rel=1e-4)


def test_a_report_is_learnt_four_times_a_minute_and_a_silence_counts_as_one_report() -> None:
    usual = learnt(5, 2, DAY_MS)
    last_ms, before = usual.learnt_ms, usual.level

    assert [usual.due(last_ms + ms) for ms in (-60_000, 0, 14_999, 15_000)] == [False, False, False, True]

    usual.learn(5 * math.e, last_ms + 10 * HOUR_MS, 45_000)
    assert usual.level - before == pytest.approx(LEVEL_RATE / 60, abs=1e-6)
    usual.learn(5 * math.e, last_ms + 20 * HOUR_MS, HOUR_MS // 2)
    assert usual.level - before == pytest.approx(LEVEL_RATE / 60 + LEVEL_RATE / 2, abs=0.01)


@given(st.floats(0, 100), st.floats(0, 1e6), st.floats(0, 500), st.booleans())
def test_what_is_trifling_is_never_warned_of(
    longest: float, times: float, objective: float, already: bool
) -> None:
    if trifling(RULE, longest, objective):
        assert not warned(RULE, times, longest, objective, already=already)
    else:
        assert warned(RULE, RULE.times_usual, longest, objective, already=True)


def test_each_hour_has_its_own_usual() -> None:
    usual = Usual()
    for minute in range(14 * 24 * 60):
        nightly = minute // 60 % 24 == 3
        usual.learn(40 if nightly else 8, minute * 60_000, 60_000)

    assert usual.slowness(40, 14 * DAY_MS + 3 * HOUR_MS) < 1.2
    assert usual.slowness(40, 14 * DAY_MS + 15 * HOUR_MS) == pytest.approx(5, rel=0.2)


def test_an_hour_of_anything_is_worth_little() -> None:
    usual = learnt(8)
    for minute in range(60):
        usual.learn(8000, DAY_MS + minute * 60_000, 60_000)

    assert usual.slowness(8000, DAY_MS + HOUR_MS) > 400


def test_a_leak_of_an_hour_does_not_become_usual_and_a_deploy_does_within_a_day() -> None:
    usual = learnt(8)

    for minute in range(60):
        usual.learn(8 * 20 ** (minute / 60), DAY_MS + minute * 60_000, 60_000)
    assert usual.slowness(160, DAY_MS + HOUR_MS) > 10

    for minute in range(24 * 60):
        usual.learn(32, DAY_MS + HOUR_MS + minute * 60_000, 60_000)
    assert usual.slowness(32, 2 * DAY_MS + HOUR_MS) < 1.2


@given(st.lists(st.floats(0, 500_000), min_size=1, max_size=12), st.integers(0, 12), st.data())
def test_a_slower_probe_never_makes_a_report_quicker(
    latencies: list[float], missed: int, data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(latencies) - 1))
    slower = [*latencies[:index], latencies[index] + data.draw(st.floats(0, 1000)), *latencies[index + 1 :]]

    before, after = quick_ms(recent(*latencies, missed=missed)), quick_ms(recent(*slower, missed=missed))

    assert (before is None) == (after is None)
    if before is not None and after is not None:
        assert after >= before


@given(st.floats(0, 100), st.floats(0, 100), st.floats(0, 5000), st.floats(0, 5000), st.booleans())
def test_a_warning_is_monotone_and_ends_later_than_it_begins(
    times: float, more: float, quick: float, slower: float, already: bool
) -> None:
    told = warned(RULE, times, quick, 100, already=already)

    if told:
        assert warned(RULE, times + more, quick + slower, 100, already=already)
        assert warned(RULE, times, quick, 100, already=True)


@pytest.mark.parametrize(
    ("times", "begins", "goes_on"), [(3.6, True, True), (2.2, False, True), (2.0, False, False)]
)
def test_a_warning_ends_at_a_part_of_what_began_it(times: float, *, begins: bool, goes_on: bool) -> None:
    told = [warned(RULE, times, 100 * times, 100, already=already) for already in (False, True)]

    assert told == [begins, goes_on]


def test_three_slow_probes_of_twelve_are_no_trend_and_nine_are() -> None:
    usual = learnt(5)
    three, nine = quick_ms(recent(*[5] * 9, *[500] * 3)), quick_ms(recent(*[5] * 3, *[500] * 9))

    assert three is not None
    assert nine is not None
    assert usual.slowness(three, DAY_MS) == pytest.approx(1)
    assert usual.slowness(nine, DAY_MS) == pytest.approx(100, rel=0.01)


def test_too_few_answers_say_nothing() -> None:
    assert quick_ms(recent(*[500] * 5, missed=7)) is None
    assert quick_ms(recent(*[500] * 6, missed=6)) == 500


@given(st.lists(st.tuples(latencies_ms, st.integers(1, DAY_MS)), max_size=200))
def test_what_is_remembered_is_bounded(reports: list[tuple[float, int]]) -> None:
    usual = Usual()
    for (latency_ms, _), now_ms in zip(reports, accumulate(step for _, step in reports), strict=True):
        usual.learn(latency_ms, now_ms, HOUR_MS)

    assert len(usual.hours) == HOURS
    assert all(math.isfinite(figure) and abs(figure) < 1000 for figure in (usual.level, *usual.hours))
    assert all(len(str(figure)) < 13 for figure in (usual.level, *usual.hours))
