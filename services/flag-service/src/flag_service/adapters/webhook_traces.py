"""Deliveries go on with the trace of the record that they tell of."""

from __future__ import annotations

from collections.abc import Sequence

from flag_service.domain.subscription import Topical
from resilience_contracts import Topic
from resilience_delivery import Answer, Message, Sender
from resilience_runtime.bus import Apply
from resilience_runtime.bus import Message as Record
from resilience_runtime.trace_context import current_traceparent, traceparent_of
from resilience_runtime.tracing import SpanKind, Tracing

ABOUT: dict[str, Topical] = {Topic.LEVEL_CHANGES: Topical.LEVEL, Topic.HOLDS: Topical.HOLD}


class TracedDeliveries:
    """Remembers, for each subject, the trace of its newest record; as many as there are subjects."""

    def __init__(self, sender: Sender, tracing: Tracing) -> None:
        self._sender = sender
        self._tracing = tracing
        self._causes: dict[str, str] = {}

    def noting(self, apply: Apply) -> Apply:
        """Return `apply`, noting the trace of what it is given."""

        def noted(record: Record) -> None:
            about = ABOUT.get(record.topic)
            if about:
                self._note(f"{about}:{(record.key or b'').decode('utf-8', 'replace')}", record)
            apply(record)

        return noted

    async def send(self, url: str, secrets: Sequence[str], message: Message) -> Answer:
        """Try once, in a span of its own; never raises."""
        cause = self._causes.get(message.subject)
        with self._tracing.span("deliver webhook", SpanKind.CLIENT, parent=cause, webhook__id=message.id):
            return await self._sender.send(url, secrets, message)

    def _note(self, subject: str, record: Record) -> None:
        cause = current_traceparent() or traceparent_of(record.headers)
        if cause:
            self._causes[subject] = cause
        else:
            self._causes.pop(subject, None)
