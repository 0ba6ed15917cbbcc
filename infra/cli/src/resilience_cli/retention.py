"""Which backups stay: the newest of each of the last hours and of each of the last days that have one. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime


def kept(made_at: Iterable[datetime], hourly: int, daily: int) -> set[datetime]:
    """Return the times of the backups that stay; the newest of all is always among them.

    An hour or day without a backup does not count, so that a gap costs none of the older ones.

    Args:
        made_at: when each was made, in UTC.
        hourly: of how many hours the newest stays.
        daily: of how many days the newest stays.
    """
    newest_first = sorted(made_at, reverse=True)
    hours = _newest_of_each(newest_first, lambda at: at.replace(minute=0, second=0, microsecond=0), hourly)
    days = _newest_of_each(newest_first, lambda at: at.date(), daily)
    return {*newest_first[:1], *hours, *days}


def _newest_of_each(
    newest_first: list[datetime], span_of: Callable[[datetime], object], spans: int
) -> list[datetime]:
    newest: dict[object, datetime] = {}
    for at in newest_first:
        newest.setdefault(span_of(at), at)
    return list(newest.values())[:spans]
