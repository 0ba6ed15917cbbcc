"""Where webhooks are subscribed, replayed and ended: the audit entry is stored first, then the record."""

from __future__ import annotations

from urllib.parse import urlsplit

from flag_service.domain.audit import Action, Deed, Values
from flag_service.domain.subscription import Subscription, Topical
from resilience_delivery import Subscriptions
from resilience_runtime.clock import Clock

from .desk import Request
from .trail import AuditTrail

REASONS = {
    Action.WEBHOOK_CREATE: "subscribed over the API",
    Action.WEBHOOK_REPLAY: "asked to send everything again",
    Action.WEBHOOK_ROTATE: "asked for another secret",
    Action.WEBHOOK_DELETE: "ended over the API",
}


class Registrar:
    """Changes subscriptions on behalf of a caller."""

    def __init__(
        self, subscriptions: Subscriptions[Subscription], trail: AuditTrail, home_scope: str, clock: Clock
    ) -> None:
        self._clock = clock
        self._subscriptions = subscriptions
        self._trail = trail
        self._home_scope = home_scope

    async def create(
        self, url: str, about: frozenset[Topical], scope: str | None, request: Request
    ) -> Subscription:
        """Store a new subscription.

        Raises:
            TooManySubscriptionsError: there are 100.
            PublishError: Kafka did not store it in time.
        """
        made = self._subscriptions.draft(url, request.actor, about=about, scope=scope)
        async with self._trail.recorded(self._deed(Action.WEBHOOK_CREATE, made, request, None, made)):
            await self._subscriptions.store(made)
        return made

    async def replay(self, held: Subscription, request: Request) -> None:
        """Ask for everything to be sent again, and for an endpoint that was given up to be served again.

        Raises:
            PublishError: Kafka did not store it in time.
        """
        after = held.again()
        async with self._trail.recorded(self._deed(Action.WEBHOOK_REPLAY, held, request, held, after)):
            await self._subscriptions.store(after)

    async def rotate(self, held: Subscription, request: Request) -> Subscription:
        """Give a subscription another secret; the one before signs too for a day longer.

        Raises:
            PublishError: Kafka did not store it in time.
        """
        after = held.rotated(self._clock.now())
        async with self._trail.recorded(self._deed(Action.WEBHOOK_ROTATE, held, request, held, after)):
            await self._subscriptions.store(after)
        return after

    async def delete(self, held: Subscription, request: Request) -> None:
        """End a subscription.

        Raises:
            PublishError: Kafka did not store it in time.
        """
        async with self._trail.recorded(self._deed(Action.WEBHOOK_DELETE, held, request, held, None)):
            await self._subscriptions.remove(held.id)

    def _deed(
        self,
        action: Action,
        subject: Subscription,
        request: Request,
        before: Subscription | None,
        after: Subscription | None,
    ) -> Deed:
        scope = subject.scope or self._home_scope
        changed = (_values(before), _values(after))
        return Deed(
            action, scope, subject.id, request.actor, REASONS[action], *changed, request.correlation_id
        )


def _values(subscription: Subscription | None) -> Values | None:
    """Tell what is subscribed to; of the endpoint only its origin, as the rest of a URL may be a secret."""
    if subscription is None:
        return None
    parts = urlsplit(subscription.url)
    return {
        "state": "subscribed",
        "endpoint": f"{parts.scheme}://{parts.netloc}",
        "about": ", ".join(sorted(subscription.about)),
        "scope": subscription.scope,
        "replay": subscription.replay,
        "secret": subscription.secret,
    }
