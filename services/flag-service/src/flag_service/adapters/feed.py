"""From records of the topics to the switchboard, the history and the audit trail."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from flag_service.application.trail import AuditTrail
from flag_service.domain.history import History
from flag_service.domain.notices import Endings
from flag_service.domain.switchboard import Switchboard
from resilience_contracts import (
    AuditRecorded,
    CodecError,
    Envelope,
    Event,
    HoldSet,
    LevelChanged,
    LevelState,
    Topic,
    decode,
)
from resilience_runtime.bus import BadMessage, Message
from resilience_runtime.clock import Clock
from resilience_runtime.pulse import Pulse

STATE_TOPICS = (Topic.LEVELS, Topic.HOLDS, Topic.LEVEL_CHANGES)


class Feed:
    """Applies records; each one that cannot be is refused by `BadMessage` and changes nothing."""

    def __init__(
        self,
        *,
        switchboard: Switchboard,
        history: History,
        endings: Endings,
        trail: AuditTrail,
        on_change: Callable[[LevelChanged], None],
        pulse: Pulse,
        clock: Clock,
    ) -> None:
        self._switchboard = switchboard
        self._history = history
        self._endings = endings
        self._trail = trail
        self._on_change = on_change
        self._pulse = pulse
        self._clock = clock

    def apply(self, message: Message) -> None:
        """Take one record of a state topic or of the audit topic."""
        if message.topic == Topic.HOLDS and message.value is None:
            self._end(message)
        else:
            envelope = _read(message)
            self._take(envelope.event, message, envelope.source)
        self._pulse.beat()

    def begin(self) -> None:
        """Prepare for the state topics to be read from their start."""
        self._switchboard.begin_reading()
        self._pulse.beat()

    def _end(self, message: Message) -> None:
        key = _key(message)
        scope, _, target = key.partition("/")
        if not scope or not target or "/" in target:
            raise BadMessage("the key of a hold is `scope/target`")
        self._switchboard.end_hold(key, message.headers, self._clock.now())
        self._endings.end(key, datetime.fromtimestamp(message.timestamp_ms / 1000, UTC))

    def _take(self, event: Event, message: Message, source: str) -> None:
        if event.topic != message.topic:
            raise BadMessage(f"a {event.type} does not belong on {message.topic}")
        if isinstance(event, AuditRecorded):
            self._trail.heard(event)
            return
        if event.key != _key(message):
            raise BadMessage(f"the record's key is not {event.key}")
        now = self._clock.now()
        if isinstance(event, LevelState):
            self._switchboard.apply_level(event, now)
        elif isinstance(event, HoldSet):
            self._endings.set(event)
            self._switchboard.apply_hold(event, now, source)
        elif isinstance(event, LevelChanged) and self._history.add(event) and self._switchboard.caught_up:
            self._on_change(event)


def _read(message: Message) -> Envelope:
    try:
        return decode(message.value, message.headers)
    except CodecError as error:
        raise BadMessage(f"{error.code}: {error}") from error


def _key(message: Message) -> str:
    try:
        key = (message.key or b"").decode()
    except UnicodeDecodeError as error:
        raise BadMessage("the key is not UTF-8") from error
    if not key:
        raise BadMessage("the record has no key")
    return key
