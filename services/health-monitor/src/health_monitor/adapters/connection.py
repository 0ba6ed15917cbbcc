"""What a failed connection means, whichever driver reports it."""

from __future__ import annotations

from datetime import UTC, datetime
from http.client import HTTPException

from health_monitor.domain import ProbeError, of_http_status, seconds_of
from resilience_contracts import Outcome


def no_connection(error: BaseException) -> ProbeError:
    """Classify an error that left the client without an answer: no connection, too late, or nonsense."""
    chain = tuple(_chain(error))
    if any(isinstance(cause, TimeoutError) for cause in chain):
        return ProbeError(Outcome.TIMEOUT, type(error).__name__)
    if any(_nonsense(cause) for cause in chain):
        return ProbeError(Outcome.PROTOCOL, type(error).__name__)
    root = next((cause for cause in reversed(chain) if isinstance(cause, OSError)), error)
    return ProbeError(Outcome.REFUSED, type(root).__name__)


def no_http_answer(error: BaseException) -> ProbeError:
    """Classify an error of httpx, which names a closed connection and a wrong answer alike."""
    hung_up = "disconnected" in str(error) or "closed" in str(error)
    if type(error).__name__ in {"RemoteProtocolError", "DecodingError"} and not hung_up:
        return ProbeError(Outcome.PROTOCOL, type(error).__name__)
    return no_connection(error)


def http_refusal(status: int, retry_after: str | None) -> ProbeError:
    """Classify an HTTP status that is not a success; Retry-After is believed with 429 alone."""
    outcome = of_http_status(status)
    asked = retry_after if outcome is Outcome.RATE_LIMITED else None
    return ProbeError(outcome, f"HTTP {status}", seconds_of(asked, datetime.now(UTC)))


def _nonsense(error: BaseException) -> bool:
    # http.client counts a connection that was closed in time among the wrong answers; it is both.
    return isinstance(error, HTTPException) and not isinstance(error, ConnectionError)


def _chain(error: BaseException | None) -> list[BaseException]:
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    return chain
