"""One message of a webhook, what came of an attempt to send it, and what is kept of both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

OVERHEAD_BYTES = 300
"""What a message takes in a record beside its body."""
SUCCESSES = range(200, 300)


class Outcome(StrEnum):
    """How a message fared."""

    DELIVERED = "delivered"
    FAILED = "failed"
    SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent, byte for byte.

    Attributes:
        id: the same for the same event, whoever sends it, whenever.
        about: what kind of news it is, as subscriptions name it.
        scope: what it is of, as subscriptions name it.
        subject: what it is the state of; a newer message of the same subject supersedes it.
    """

    id: str
    type: str
    about: str
    scope: str
    subject: str
    body: str


Remains = Callable[[Message], Message | None]
"""Returns what is kept of a message that was sent, where a record would grow too long: all of it, it without a body,
or nothing. What is left out is taken for new if it is offered again."""


def only_its_id(message: Message) -> Message | None:
    """Keep a message without its body: it is made anew where it is asked for again."""
    return replace(message, body="")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an attempt: a status, or what went wrong instead."""

    status: int | None = None
    detail: str = ""
    retry_after_s: float | None = None

    @property
    def delivered(self) -> bool:
        """Whether the receiver has the message: any status of 2xx and nothing else."""
        return self.status in SUCCESSES


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One line of the delivery log."""

    message_id: str
    type: str
    at: datetime
    outcome: Outcome
    status: int | None = None
    detail: str = ""


def size_of(message: Message) -> int:
    """Return about how many bytes a message takes in a record, where quotes and backslashes take two."""
    body = message.body
    return OVERHEAD_BYTES + len(body.encode()) + body.count('"') + body.count("\\")
