"""From records of the health topic to the vitals. What cannot be read is the engine's to refuse."""

from __future__ import annotations

from flag_service.domain.vitals import Vitals
from resilience_contracts import CodecError, HealthObserved, decode
from resilience_runtime.bus import Apply, Message

RECENT_S = 900
"""How far back reading begins: what 60 probes take, five seconds to fifteen apart."""


def vitals_from(vitals: Vitals) -> Apply:
    """Return what applies a record."""

    def apply(message: Message) -> None:
        try:
            event = decode(message.value, message.headers).event
        except CodecError:
            return
        if isinstance(event, HealthObserved):
            vitals.apply(event)

    return apply
