"""What can go wrong with the stack, each in one line with its remedy."""

from __future__ import annotations

from collections.abc import Sequence

KAFKA_AWAY = "start the stack with `resilience up`, or correct the KAFKA_ variables"


class StackError(Exception):
    """Something about the stack is wrong and its user can mend it.

    Args:
        message: what is wrong, without a full stop.
        remedy: what helps.
        evidence: lines of a log that show more, for whoever wants to know.
    """

    def __init__(self, message: str, remedy: str, evidence: Sequence[str] = ()) -> None:
        super().__init__(f"{message}: {remedy}")
        self.message = message
        self.remedy = remedy
        self.evidence = evidence
