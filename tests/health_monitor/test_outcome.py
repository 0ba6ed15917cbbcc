from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from health_monitor.domain import (
    ProbeError,
    of_http_status,
    of_redis_reply,
    of_s3_code,
    of_sqlstate,
    seconds_of,
)
from resilience_contracts import Outcome

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (401, Outcome.AUTH),
        (403, Outcome.AUTH),
        (429, Outcome.RATE_LIMITED),
        (500, Outcome.SERVER_ERROR),
        (503, Outcome.SERVER_ERROR),
        (599, Outcome.SERVER_ERROR),
        (302, Outcome.PROTOCOL),
        (404, Outcome.PROTOCOL),
    ],
)
def test_http_status(status: int, outcome: Outcome) -> None:
    assert of_http_status(status) is outcome


@pytest.mark.parametrize(
    ("sqlstate", "outcome"),
    [
        ("28P01", Outcome.AUTH),
        ("28000", Outcome.AUTH),
        ("42501", Outcome.AUTH),
        ("53300", Outcome.SERVER_ERROR),
        ("57P03", Outcome.SERVER_ERROR),
        ("XX000", Outcome.SERVER_ERROR),
        ("42P01", Outcome.PROTOCOL),
        ("", Outcome.PROTOCOL),
    ],
)
def test_sqlstate(sqlstate: str, outcome: Outcome) -> None:
    assert of_sqlstate(sqlstate) is outcome


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        ("WRONGPASS invalid username-password pair", Outcome.AUTH),
        ("NOPERM no permissions", Outcome.AUTH),
        ("MISCONF Redis is configured to save", Outcome.SERVER_ERROR),
        ("NOREPLICAS Not enough good replicas", Outcome.SERVER_ERROR),
        ("ERR unknown command", Outcome.PROTOCOL),
    ],
)
def test_redis_reply(reply: str, outcome: Outcome) -> None:
    assert of_redis_reply(reply) is outcome


def test_an_s3_code_says_more_than_its_status() -> None:
    assert of_s3_code("SlowDown", 503) is Outcome.RATE_LIMITED
    assert of_s3_code("ExpiredToken", 400) is Outcome.AUTH
    assert of_s3_code("InternalError", 500) is Outcome.SERVER_ERROR
    assert of_s3_code("NoSuchBucket", 404) is Outcome.PROTOCOL


@given(st.integers(0, 10**9))
def test_retry_after_is_read_in_seconds_and_as_a_date(seconds: int) -> None:
    date = format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)

    assert seconds_of(str(seconds), NOW) == seconds_of(date, NOW) == seconds


@given(st.none() | st.text() | st.sampled_from(["nan", "inf", "-1", "Thu, 01 Jan 1970 00:00:00 GMT"]))
def test_any_other_retry_after_is_none_or_a_number_of_seconds(text: str | None) -> None:
    seconds = seconds_of(text, NOW)

    assert seconds is None or 0 <= seconds < float("inf")


@given(st.floats(0, 1e12))
def test_a_server_cannot_ask_for_more_than_five_minutes_of_silence(asked_s: float) -> None:
    error = ProbeError(Outcome.RATE_LIMITED, "HTTP 429", asked_s)

    assert error.retry_after_s == min(asked_s, 300)
