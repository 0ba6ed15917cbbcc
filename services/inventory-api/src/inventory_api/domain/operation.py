"""An operation: a write accepted while the authority was away, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class OperationState(StrEnum):
    """ACCEPTED waits in the command log; APPLIED is in the ledger; EXCEPTION waits for a person."""

    ACCEPTED = "accepted"
    APPLIED = "applied"
    EXCEPTION = "exception"


@dataclass(frozen=True, slots=True)
class Operation:
    """Where an accepted write stands. `code` and `detail` say why it is an exception."""

    id: str
    state: OperationState
    accepted_at: datetime
    finished_at: datetime | None = None
    code: str | None = None
    detail: str | None = None
