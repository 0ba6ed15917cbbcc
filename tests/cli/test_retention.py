"""Which backups stay, for any times at which they were made."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from resilience_cli.retention import kept

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
TIMES = st.sets(
    st.integers(0, 40 * 24 * 60).map(lambda minutes: NOON - timedelta(minutes=minutes)), max_size=60
)
HOURLY, DAILY = st.integers(0, 30), st.integers(0, 10)


@given(TIMES, HOURLY, DAILY)
def test_the_newest_always_stays_and_nothing_is_made_up(
    times: set[datetime], hourly: int, daily: int
) -> None:
    staying = kept(times, hourly, daily)

    assert staying <= times
    assert not times or max(times) in staying
    assert len(staying) <= max(1, hourly + daily)


@given(TIMES, HOURLY, DAILY)
def test_what_stays_would_stay_again_and_more_room_keeps_no_less(
    times: set[datetime], hourly: int, daily: int
) -> None:
    staying = kept(times, hourly, daily)

    assert kept(staying, hourly, daily) == staying
    assert staying <= kept(times, hourly + 1, daily + 1)


@given(TIMES, HOURLY, DAILY)
def test_thinning_out_after_each_backup_keeps_each_of_the_last_days(
    times: set[datetime], hourly: int, daily: int
) -> None:
    staying: set[datetime] = set()
    for at in sorted(times):
        staying = kept({*staying, at}, hourly, daily)

    for day in sorted({at.date() for at in times}, reverse=True)[:daily]:
        assert max(at for at in times if at.date() == day) in staying


def test_a_week_of_hourly_backups() -> None:
    hourly = [NOON - timedelta(hours=hours) for hours in range(24 * 10)]

    staying = sorted(kept(hourly, 24, 7), reverse=True)

    assert staying[:24] == hourly[:24]
    assert [at.strftime("%d %H") for at in staying[24:]] == ["25 23", "24 23", "23 23", "22 23", "21 23"]
