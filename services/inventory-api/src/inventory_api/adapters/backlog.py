"""From the command log into the backlog that every replica keeps."""

from __future__ import annotations

from collections.abc import Callable

from inventory_api.application.commands import Backlog
from resilience_contracts import AdjustmentCommand, CodecError, CountCommand, UnknownEventError, decode
from resilience_runtime import Message


def note_commands(backlog: Backlog) -> Callable[[Message], None]:
    """Return what a reader calls with each record; what is no command is the applier's to refuse."""

    def apply(message: Message) -> None:
        try:
            event = decode(message.value, message.headers).event
        except (CodecError, UnknownEventError):
            return
        if isinstance(event, AdjustmentCommand | CountCommand):
            backlog.note(event)

    return apply
