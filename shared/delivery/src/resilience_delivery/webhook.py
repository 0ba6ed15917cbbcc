"""Webhooks: who wants to be told, what has still to be sent to whom, and when to try again.

A subscriber is told of states: of each subject only the newest message is ever due, whatever it missed
meanwhile is superseded. A message is fixed when it is first due, so that every attempt sends the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import accumulate
from typing import Self

from .message import Answer, LogEntry, Message, Outcome, Remains, only_its_id, size_of

DELAYS_S = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Seconds between attempts: the example schedule of Standard Webhooks 1.0.0, 75.6 hours in all."""
OFFSETS_S = tuple(accumulate(DELAYS_S))
JITTER = 0.1
MOST_RETRY_AFTER_S = 86_400.0
LOG_CAPACITY = 50
RECORD_BYTES = 1_500_000
WAITING_BYTES = 500_000
"""The topic takes records of 3 MB: what waits at once, and from which length what was sent is forgotten."""
OVERLAP = timedelta(days=1)
"""For so long after a rotation, messages are signed with the secret before it too."""
GONE = 410


class Condition(StrEnum):
    """Whether an endpoint is served. GONE: it answered 410. DEAD: it failed for longer than the schedule."""

    ACTIVE = "active"
    GONE = "gone"
    DEAD = "dead"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """Who wants to be told; a service adds of what.

    Attributes:
        replay: grows when everything is asked for again.
        key_id: names the signing key that the secret was made from.
        secret: number of its secret; grows as it is rotated.
        rotated_at: when it was rotated last.
    """

    id: str
    url: str
    created_at: datetime
    created_by: str
    key_id: str
    replay: int = 0
    secret: int = 0
    rotated_at: datetime | None = None

    def again(self) -> Self:
        """Return it with everything asked for again."""
        return replace(self, replay=self.replay + 1)

    def rotated(self, now: datetime) -> Self:
        """Return it with another secret; the one before is good for `OVERLAP` longer."""
        return replace(self, secret=self.secret + 1, rotated_at=now)

    def secrets(self, now: datetime) -> tuple[int, ...]:
        """Return the numbers of the secrets to sign with, the newest first."""
        both = self.rotated_at is not None and now < self.rotated_at + OVERLAP
        return (self.secret, self.secret - 1) if both else (self.secret,)


@dataclass(frozen=True, slots=True)
class Delivery:
    """The newest message of a subject; `order` grows with each one that becomes due."""

    message: Message
    order: int
    done: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an endpoint has been told.

    Attributes:
        revision: grows with each change; of two records the higher one counts.
        replay: the subscription's `replay` that has been carried out.
        failing_since: when the first attempt after the last success failed.
        retry_at: no scheduled attempt before.
        not_before: no attempt at all before, as the receiver asked by Retry-After.
        position: how far the service's source of news has been gone through for it, if that is a log.
        log: newest last.
    """

    revision: int = 0
    replay: int = 0
    condition: Condition = Condition.ACTIVE
    failing_since: datetime | None = None
    retry_at: datetime | None = None
    not_before: datetime | None = None
    deliveries: dict[str, Delivery] = field(default_factory=dict)
    position: dict[str, int] = field(default_factory=dict)
    log: tuple[LogEntry, ...] = ()

    def offer(
        self,
        messages: Iterable[Message],
        replay: int,
        now: datetime,
        remains: Remains = only_its_id,
        position: Mapping[str, int] | None = None,
    ) -> Progress:
        """Take the newest messages of every subject; those that are new become due at once.

        Of more than a record has room for, the newest are taken now and the others once they are offered again:
        whoever gives a position offers no more than there is `room` for.
        """
        after = self if replay == self.replay else self._again(replay)
        if position is not None and position != self.position:
            after = replace(after, revision=self.revision + 1, position=dict(position))
        fresh = [message for message in messages if not after.has(message)]
        taken = _fitting(after.deliveries, fresh)
        if not taken:
            return after
        deliveries, log = _slim(after.deliveries, taken, remains), after.log
        order = max((delivery.order for delivery in deliveries.values()), default=0)
        for number, message in enumerate(taken, 1):
            known = deliveries.get(message.subject)
            if known and not known.done:
                log = _logged(log, LogEntry(known.message.id, known.message.type, now, Outcome.SUPERSEDED))
            deliveries[message.subject] = Delivery(message, order + number)
        return replace(after, revision=self.revision + 1, deliveries=deliveries, log=log, retry_at=None)

    @property
    def room(self) -> int:
        """Return how many bytes more may wait, as `size_of` counts them."""
        return WAITING_BYTES - sum(size_of(d.message) for d in self.deliveries.values() if not d.done)

    def has(self, message: Message) -> bool:
        """Say whether a message is the newest of its subject already."""
        known = self.deliveries.get(message.subject)
        return known is not None and known.message.id == message.id

    def due(self, now: datetime, kept: Callable[[Message], object] = lambda _: None) -> Message | None:
        """Return what to send now: the newest first, of those that are not kept."""
        if self.condition is not Condition.ACTIVE or now < (self.next_at or now):
            return None
        return next((message for message in self.pending if not kept(message)), None)

    @property
    def pending(self) -> list[Message]:
        """Return what has still to be sent, newest first."""
        waiting = [delivery for delivery in self.deliveries.values() if not delivery.done]
        return [d.message for d in sorted(waiting, key=lambda delivery: delivery.order, reverse=True)]

    @property
    def next_at(self) -> datetime | None:
        """When the next attempt is allowed; None is at once."""
        return max((at for at in (self.retry_at, self.not_before) if at), default=None)

    def after(self, message: Message, answer: Answer, now: datetime, chance: float) -> Progress:
        """Note an attempt. `chance`, 0 to 1, spreads the retries of many endpoints."""
        outcome = Outcome.DELIVERED if answer.delivered else Outcome.FAILED
        entry = LogEntry(message.id, message.type, now, outcome, answer.status, answer.detail)
        noted = replace(self, revision=self.revision + 1, log=_logged(self.log, entry))
        if answer.delivered:
            return _delivered(noted, message)
        if answer.status == GONE:
            return replace(noted, condition=Condition.GONE)
        return _failed(noted, answer, now, chance)

    def _again(self, replay: int) -> Progress:
        # What was forgotten for lack of room is made anew from the present state.
        kept = {subject: d for subject, d in self.deliveries.items() if d.message.body}
        return replace(
            self,
            revision=self.revision + 1,
            replay=replay,
            condition=Condition.ACTIVE,
            failing_since=None,
            retry_at=None,
            not_before=None,
            deliveries={subject: replace(d, done=False) for subject, d in kept.items()},
        )


def _fitting(deliveries: dict[str, Delivery], fresh: list[Message]) -> list[Message]:
    """Return the last of the fresh messages that a record has room for, beside what waits already."""
    replaced = {message.subject for message in fresh}
    waiting = [d for subject, d in deliveries.items() if not d.done and subject not in replaced]
    room = WAITING_BYTES - sum(size_of(d.message) for d in waiting)
    taken: list[Message] = []
    for message in reversed(fresh):
        room -= size_of(message)
        if room < 0 and (taken or waiting):
            break
        taken.append(message)
    return taken[::-1]


def _slim(deliveries: dict[str, Delivery], taken: list[Message], remains: Remains) -> dict[str, Delivery]:
    """Forget of what was sent all but what remains of it, where a record would grow too long."""
    size = sum(size_of(d.message) for d in deliveries.values()) + sum(map(size_of, taken))
    if size <= RECORD_BYTES:
        return dict(deliveries)
    slim = {}
    for subject, delivery in deliveries.items():
        left = remains(delivery.message) if delivery.done else delivery.message
        if left:
            slim[subject] = replace(delivery, message=left)
    return slim


def _delivered(progress: Progress, message: Message) -> Progress:
    delivery = replace(progress.deliveries[message.subject], done=True)
    return replace(
        progress,
        failing_since=None,
        retry_at=None,
        not_before=None,
        deliveries={**progress.deliveries, message.subject: delivery},
    )


def _failed(progress: Progress, answer: Answer, now: datetime, chance: float) -> Progress:
    since = progress.failing_since or now
    elapsed_s = (now - since).total_seconds()
    later = [offset for offset in OFFSETS_S if offset > elapsed_s]
    if not later:
        return replace(progress, condition=Condition.DEAD)
    delay_s = (later[0] - elapsed_s) * (1 + JITTER * chance)
    asked_s = min(answer.retry_after_s or 0.0, MOST_RETRY_AFTER_S)
    return replace(
        progress,
        failing_since=since,
        retry_at=now + timedelta(seconds=max(delay_s, asked_s)),
        not_before=now + timedelta(seconds=asked_s) if asked_s else None,
    )


def _logged(log: tuple[LogEntry, ...], entry: LogEntry) -> tuple[LogEntry, ...]:
    return (*log, entry)[-LOG_CAPACITY:]
