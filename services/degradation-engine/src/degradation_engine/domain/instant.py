"""Instants as whole milliseconds since 1970 in UTC: exact to compare, add and store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND_MS = 1000
MINUTE_MS = 60 * SECOND_MS
DAY_MS = 24 * 60 * MINUTE_MS
_MS = timedelta(milliseconds=1)


def to_ms(time: datetime) -> int:
    """Return an aware time as milliseconds since 1970."""
    return (time - EPOCH) // _MS


def from_ms(instant_ms: int) -> datetime:
    """Return milliseconds since 1970 as a time in UTC."""
    return EPOCH + timedelta(milliseconds=instant_ms)


def span_ms(seconds: float) -> int:
    """Return a duration in whole milliseconds."""
    return round(seconds * SECOND_MS)


def clock_text(instant_ms: int) -> str:
    """Write an instant for people: the time of day in UTC."""
    return f"{from_ms(instant_ms):%H:%M:%S} UTC"
