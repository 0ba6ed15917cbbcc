"""Dead letters: what they say of themselves, which were sent again, and how one is sent again.

A letter that was sent again leaves a mark beside it in the dead-letter topic: a record without value whose header
`dlq_replayed` names the place of origin. Letters of several replicas about one record share that place, so that it is
sent again once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from resilience_contracts import Topic, dead_letter_topic
from resilience_runtime.bus import EventPublisher, Headers, Message

REPLAYED = "dlq_replayed"
ATTEMPT = "dlq_attempt"
OWN = "dlq_"
MAX_ATTEMPTS = 5
DEAD_LETTER_TOPICS = tuple(dead_letter_topic(topic) for topic in Topic)


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter.

    Attributes:
        id: `topic/partition/offset` of the letter itself.
        origin: `topic/partition/offset@timestamp` of the record that could not be used.
        attempt: how often that record failed so far.
        replayed: whether it was sent again.
        message: the letter as it lies in its topic.
    """

    id: str
    origin: str
    topic: str
    reason: str
    text: str
    stage: str
    attempt: int
    at: datetime
    replayed: bool
    message: Message

    def obstacle(self, max_attempts: int) -> str | None:
        """Say why it cannot be sent again; None when it can."""
        if not self.topic or dead_letter_topic(self.topic) != self.message.topic:
            return "does not say where it came from"
        if any(name == "dlq_value_bytes" for name, _ in self.message.headers):
            return "is cut: the record was too large"
        if self.attempt >= max_attempts:
            return f"failed {self.attempt} times"
        return None

    def original_headers(self) -> Headers:
        """Return the headers as the record had them."""
        return tuple((name, value) for name, value in self.message.headers if not name.startswith(OWN))


def letters(messages: Sequence[Message]) -> list[Letter]:
    """Read dead-letter topics: every letter in order, with the marks taken in."""
    replayed = {origin for message in messages if (origin := _header(message, REPLAYED))}
    return [_letter(message, replayed) for message in messages if not _header(message, REPLAYED)]


@dataclass(frozen=True, slots=True)
class Wish:
    """Which letters; what is None does not choose."""

    ids: frozenset[str] = frozenset()
    reason: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def admits(self, letter: Letter) -> bool:
        """Say whether a letter is among them."""
        return (
            (not self.ids or letter.id in self.ids)
            and self.reason in {None, letter.reason}
            and (self.since is None or letter.at >= self.since)
            and (self.until is None or letter.at < self.until)
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """What a replay does: letters to send, and letters left alone with the reason."""

    send: list[Letter]
    skip: list[tuple[Letter, str]]


def plan(found: Iterable[Letter], wish: Wish, max_attempts: int) -> Plan:
    """Choose what to send again: each place of origin once, in the order in which it failed."""
    result, seen = Plan([], []), set()
    for letter in filter(wish.admits, found):
        obstacle = letter.obstacle(max_attempts)
        if letter.replayed:
            result.skip.append((letter, "was sent again before"))
        elif obstacle:
            result.skip.append((letter, obstacle))
        elif letter.origin in seen:
            result.skip.append((letter, "is another letter about the same record"))
        else:
            seen.add(letter.origin)
            result.send.append(letter)
    return result


async def send_again(letter: Letter, publisher: EventPublisher) -> None:
    """Put a record back where it came from, bytes and headers unchanged, and mark its letter.

    Two headers are added: how often it failed, so that a new letter counts on, and the letter's id. Who dies between
    the two steps has sent it and not marked it: readers drop such a duplicate by its id, as any other.

    Raises:
        PublishError: Kafka did not store it in time.
    """
    trail = ((ATTEMPT, str(letter.attempt).encode()), ("dlq_letter", letter.id.encode()))
    message = letter.message
    await publisher.publish(letter.topic, message.key, message.value, (*letter.original_headers(), *trail))
    await publisher.publish(message.topic, message.key, None, ((REPLAYED, letter.origin.encode()),))


def _letter(message: Message, replayed: set[str]) -> Letter:
    origin = f"{_header(message, 'dlq_original_topic')}/{_header(message, 'dlq_original_partition')}"
    origin += f"/{_header(message, 'dlq_original_offset')}@{_header(message, 'dlq_original_timestamp')}"
    attempt = _header(message, ATTEMPT)
    return Letter(
        id=f"{message.topic}/{message.partition}/{message.offset}",
        origin=origin,
        topic=_header(message, "dlq_original_topic"),
        reason=_header(message, "dlq_error_class") or "unknown",
        text=_header(message, "dlq_error_message"),
        stage=_header(message, "dlq_stage"),
        attempt=int(attempt) if attempt.isdecimal() and len(attempt) < 6 else 1,  # noqa: PLR2004 - digits
        at=datetime.fromtimestamp(message.timestamp_ms / 1000, UTC),
        replayed=origin in replayed,
        message=message,
    )


def _header(message: Message, name: str) -> str:
    texts = [value for key, value in message.headers if key == name and value]
    return texts[-1].decode(errors="replace") if texts else ""
