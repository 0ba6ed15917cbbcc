"""What a webhook is subscribed to."""

from __future__ import annotations

from collections.abc import Callable
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
        scope: only this scope, or the one that it follows; or every one.
    """

    about: frozenset[Topical]
    scope: str | None

    def wants(self, message: Message, told_as: Callable[[str], str]) -> bool:
        """Say whether a message is for this subscriber; `told_as` gives the scope whose events those of a scope are."""
        here = self.scope is None or message.scope in {self.scope, told_as(self.scope)}
        return here and message.about in self.about
