"""What a webhook is subscribed to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from resilience_delivery import webhook
from resilience_delivery.message import Message


class Topical(StrEnum):
    """What a subscriber may be told of."""

    LEVEL = "level"
    HOLD = "hold"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription(webhook.Subscription):
    """Who wants to be told of what.

    Attributes:
        scope: only this scope, or every one.
    """

    about: frozenset[Topical]
    scope: str | None

    def wants(self, message: Message) -> bool:
        """Say whether a message is for this subscriber."""
        return message.about in self.about and self.scope in {None, message.scope}
