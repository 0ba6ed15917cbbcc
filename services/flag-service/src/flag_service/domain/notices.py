"""What subscribers are told, as messages: level changes, holds set, holds ended.

A body is both a CloudEvent in JSON and a payload of Standard Webhooks (`type`, `timestamp`, `data`). It is
made of what the topics have and of nothing else, so that every replica makes the same one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime

from resilience_contracts import HoldSet, LevelChanged, Version, format_time
from resilience_delivery.message import Message
from resilience_delivery.webhook import Progress

from .subscription import Subscription, Topical

SOURCE = "/services/flag-service"
HOLD_ENDED = "retail.resilience.hold.ended.v1"


def of_level(change: LevelChanged) -> Message:
    """Tell of a scope's level."""
    return _message(change, change.type, change.event_id, change.time)


def of_hold(hold: HoldSet) -> Message:
    """Tell of a hold in force."""
    return _message(hold, hold.type, hold.event_id, hold.time)


class Endings:
    """When holds were ended before their time, as their tombstones in the topic say."""

    def __init__(self) -> None:
        self._last: dict[str, HoldSet] = {}
        self._ended: dict[str, tuple[str, datetime]] = {}

    def set(self, hold: HoldSet) -> None:
        """Note the record of a hold."""
        self._last[hold.key] = hold

    def end(self, key: str, at: datetime) -> None:
        """Note the tombstone of a hold."""
        hold = self._last.pop(key, None)
        if hold:
            self._ended[key] = (hold.event_id, at)

    def at(self, hold: HoldSet) -> datetime:
        """Return when a hold ended: by its tombstone or by its time, whichever was first."""
        event_id, at = self._ended.get(hold.key, ("", hold.expires_at))
        return min(at, hold.expires_at) if event_id == hold.event_id else hold.expires_at


def of_end(told: Message, endings: Endings) -> Message | None:
    """Tell of the end of a hold that is in force no more; None if its end has been told."""
    if told.type != HoldSet.type:
        return None
    hold = HoldSet.model_validate(json.loads(told.body)["data"])
    return _message(hold, HOLD_ENDED, f"{hold.event_id}/ended", endings.at(hold))


def news(
    known: Iterable[Message], current: Iterable[Message], wanted: Callable[[Message], bool], endings: Endings
) -> list[Message]:
    """Return the newest message of every subject: what is now, and the ends of holds told of that are no more.

    A level that is older than what was told is none: another replica, or the mirror of a region, may lag.
    """
    told, now = ({message.subject: message for message in each} for each in (known, current))
    gone = (one for subject, one in told.items() if one.about == Topical.HOLD and subject not in now)
    ends = (of_end(one, endings) for one in gone)
    fresh = (one for one in now.values() if wanted(one) and not _is_older(one, told.get(one.subject)))
    return [*(end for end in ends if end), *fresh]


def remains(told: Message) -> Message | None:
    """Keep of a level that was told its id and version, of a hold all that its end will be told by, of an end nothing."""
    if told.about == Topical.LEVEL:
        return replace(told, body=str(_version(told)))
    return told if told.type == HoldSet.type else None


def _is_older(message: Message, told: Message | None) -> bool:
    if told is None or told.about != Topical.LEVEL or told.id == message.id:
        return False
    return _version(message) < _version(told)


def _version(message: Message) -> Version:
    """Return the version of a level, or of what remains of it; of what an earlier release kept, the lowest."""
    if message.body.startswith("{"):
        return LevelChanged.model_validate(json.loads(message.body)["data"]).version.ordered()
    epoch, _, counter = message.body.partition(".")
    return Version(int(epoch), int(counter)) if counter else Version(0, 0)


class Bulletin:
    """Messages of the present state, made once for each state, and what is news of them to a subscriber."""

    def __init__(
        self,
        revision: Callable[[], object],
        state: Callable[[], tuple[list[LevelChanged], list[HoldSet]]],
        endings: Endings,
        told_as: Callable[[str], str] = str,
    ) -> None:
        self._revision = revision
        self._told_as = told_as
        self._state = state
        self._endings = endings
        self._made_for: object = None
        self._messages: list[Message] = []

    def news(self, subscription: Subscription, progress: Progress) -> list[Message]:
        """Return the newest message of every subject that a subscriber wants to hear of."""
        known = (delivery.message for delivery in progress.deliveries.values())
        return news(
            known, self.current(), lambda each: subscription.wants(each, self._told_as), self._endings
        )

    def current(self) -> list[Message]:
        """Return a message for the level of each scope and for each hold in force."""
        if self._made_for != self._revision():
            changes, holds = self._state()
            # By time: the newest is sent first, as each message that becomes due goes before the earlier ones.
            made = [(change.time, of_level(change)) for change in changes]
            made += [(hold.time, of_hold(hold)) for hold in holds]
            self._messages = [message for _, message in sorted(made, key=lambda pair: pair[0])]
            self._made_for = self._revision()
        return self._messages


def _message(event: HoldSet | LevelChanged, kind: str, event_id: str, at: datetime) -> Message:
    about = Topical.LEVEL if isinstance(event, LevelChanged) else Topical.HOLD
    body = {
        "specversion": "1.0",
        "id": event_id,
        "source": SOURCE,
        "type": kind,
        "subject": event.key,
        "time": format_time(at),
        "timestamp": format_time(at),
        "datacontenttype": "application/json",
        "data": event.model_dump(mode="json"),
    }
    digest = hashlib.sha256(f"{kind} {event_id}".encode()).hexdigest()
    text = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
    return Message(f"msg_{digest[:32]}", kind, about, event.scope, f"{about}:{event.key}", text)
