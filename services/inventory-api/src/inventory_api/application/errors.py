"""Why the service cannot answer now; a client may come back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from resilience_contracts import Because, FeatureState


class UnavailableError(Exception):
    """A dependency does not answer.

    Attributes:
        dependency: which one.
        retry_after_s: when its circuit breaker will try again, if that is what refused.
    """

    def __init__(self, dependency: str, detail: str, retry_after_s: float | None = None) -> None:
        super().__init__(f"{dependency}: {detail}")
        self.dependency = dependency
        self.detail = detail
        self.retry_after_s = retry_after_s


class BusyError(Exception):
    """Too much is waiting for the database already."""


class RowInDemandError(BusyError):
    """Others have a row that this transaction needs; it did nothing, and may be tried again at once."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Which feature is refused, why, and since when."""

    feature: str
    state: FeatureState
    because: Because
    detail: str
    since: datetime | None
    retry_after_s: int


class FeatureRefusedError(Exception):
    """The feature is off for now."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.detail)
        self.refusal = refusal
