"""The operators' holds on levels, as the holds topic tells them."""

from __future__ import annotations

from datetime import datetime

from resilience_contracts import LEVEL_TARGET, CodecError, HoldSet, Policy, View, decode
from resilience_runtime.bus import BadMessage, Message


class HoldBook:
    """Follows `Topic.HOLDS`; every worker reads all of it."""

    def __init__(self, policy: Policy) -> None:
        self._view = View(policy)

    def apply(self, message: Message) -> None:
        """Take one record; a tombstone ends the hold of its key.

        Raises:
            BadMessage: it cannot be read as a hold.
        """
        if message.value is None:
            self._view.end_hold((message.key or b"").decode(errors="replace"), message.headers)
            return
        try:
            event = decode(message.value, message.headers).event
        except CodecError as error:
            raise BadMessage(str(error)) from error
        if not isinstance(event, HoldSet):
            raise BadMessage(f"{event.type} is not a hold")
        self._view.apply_hold(event)

    def forget(self) -> None:
        """Forget everything: the topic is read again from its start."""
        self._view.forget_holds()

    def on_levels(self, now: datetime) -> dict[str, HoldSet]:
        """Return the holds on levels in force, by scope."""
        return {hold.scope: hold for hold in self._view.holds(now) if hold.target == LEVEL_TARGET}
