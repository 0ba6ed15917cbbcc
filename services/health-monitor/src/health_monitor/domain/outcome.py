"""Which class a failure belongs to: tables from what each protocol says to the policy's words.

One rule for all: credentials and permissions are `auth`, a server that says it cannot is `server_error`, no
connection (refused, reset, unreachable, unresolved) is `refused`, and an answer that makes no sense is
`protocol`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from math import isfinite, nan

from resilience_contracts import Outcome

HTTP_STATUS = {401: Outcome.AUTH, 403: Outcome.AUTH, 429: Outcome.RATE_LIMITED}
SERVER_ERRORS = range(500, 600)
RETRY_AFTER_CAP_S = 300.0

# PostgreSQL, appendix A, by class and then by code: https://www.postgresql.org/docs/18/errcodes-appendix.html
SQLSTATE = {"42501": Outcome.AUTH, "25006": Outcome.SERVER_ERROR}
SQLSTATE_CLASS = {
    "28": Outcome.AUTH,
    "53": Outcome.SERVER_ERROR,
    "57": Outcome.SERVER_ERROR,
    "58": Outcome.SERVER_ERROR,
    "XX": Outcome.SERVER_ERROR,
}

# First word of an error reply: https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors
REDIS_REPLY = {
    "NOAUTH": Outcome.AUTH,
    "WRONGPASS": Outcome.AUTH,
    "NOPERM": Outcome.AUTH,
    "BUSY": Outcome.SERVER_ERROR,
    "CLUSTERDOWN": Outcome.SERVER_ERROR,
    "LOADING": Outcome.SERVER_ERROR,
    "MASTERDOWN": Outcome.SERVER_ERROR,
    "MISCONF": Outcome.SERVER_ERROR,
    "NOREPLICAS": Outcome.SERVER_ERROR,
    "OOM": Outcome.SERVER_ERROR,
    "READONLY": Outcome.SERVER_ERROR,
    "TRYAGAIN": Outcome.SERVER_ERROR,
}

# Codes that say more than their HTTP status: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
S3_CODE = {
    "SlowDown": Outcome.RATE_LIMITED,
    "RequestLimitExceeded": Outcome.RATE_LIMITED,
    "ExpiredToken": Outcome.AUTH,
    "InvalidToken": Outcome.AUTH,
}


@dataclass(frozen=True, slots=True)
class Result:
    """One probe's result. `detail` names a class of error or a code: a message could hold a secret."""

    outcome: Outcome
    latency_ms: float
    detail: str = ""
    retry_after_s: float | None = None


class ProbeError(Exception):
    """The dependency did not do what was asked, and wants peace for `retry_after_s`, taken as at most 300."""

    def __init__(self, outcome: Outcome, detail: str, retry_after_s: float | None = None) -> None:
        super().__init__(outcome.value, detail)
        self.outcome = outcome
        self.detail = detail
        self.retry_after_s = None if retry_after_s is None else min(retry_after_s, RETRY_AFTER_CAP_S)


def seconds_of(retry_after: str | None, now: datetime) -> float | None:
    """Read a Retry-After, in seconds or as a date (RFC 9110, 10.2.3); None if there is none that makes sense."""
    text = (retry_after or "").strip()
    try:
        seconds = float(text)
    except ValueError:
        seconds = _until(text, now)
    return seconds if isfinite(seconds) and seconds >= 0 else None


def _until(date: str, now: datetime) -> float:
    try:
        return (parsedate_to_datetime(date) - now).total_seconds()
    except (TypeError, ValueError):
        return nan


def of_http_status(status: int) -> Outcome:
    """Classify an HTTP status that is not a success."""
    if status in SERVER_ERRORS:
        return Outcome.SERVER_ERROR
    return HTTP_STATUS.get(status, Outcome.PROTOCOL)


def of_sqlstate(sqlstate: str) -> Outcome:
    """Classify a PostgreSQL error by its five-character code."""
    return SQLSTATE.get(sqlstate) or SQLSTATE_CLASS.get(sqlstate[:2], Outcome.PROTOCOL)


def of_redis_reply(reply: str) -> Outcome:
    """Classify a Redis error reply by its first word."""
    return REDIS_REPLY.get(reply.partition(" ")[0], Outcome.PROTOCOL)


def of_s3_code(code: str, status: int) -> Outcome:
    """Classify an S3 error by its code, else by its HTTP status."""
    return S3_CODE.get(code) or of_http_status(status)
