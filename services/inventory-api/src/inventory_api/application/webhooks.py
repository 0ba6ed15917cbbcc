"""Where webhooks are subscribed, replayed, rotated and ended. Works without the database: all of it is in Kafka."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable

import structlog

from inventory_api.domain.errors import KeyReusedError, TooManyWebhooksError, UnknownWebhookError
from inventory_api.domain.news import Choice, NewsLog
from inventory_api.domain.subscription import Subscription
from resilience_contracts import FeatureState, FeatureView
from resilience_delivery import Progress, SigningKey, Subscriptions, TooManySubscriptionsError
from resilience_runtime import Clock, PublishError

from .errors import UnavailableError
from .switches import Switches

FEATURE = "integrations.webhooks"
RETRY_S = 2.0

_log = structlog.get_logger(__name__)


class WebhookDesk:
    """Changes subscriptions on behalf of a caller."""

    def __init__(
        self,
        subscriptions: Subscriptions[Subscription],
        log: NewsLog,
        key: SigningKey,
        switches: Switches,
        clock: Clock,
    ) -> None:
        self._subscriptions = subscriptions
        self._log = log
        self._key = key
        self._switches = switches
        self._clock = clock

    def all(self) -> list[Subscription]:
        """Return every subscription, oldest first."""
        return self._subscriptions.all()

    def get(self, name: str) -> Subscription:
        """Return a subscription.

        Raises:
            UnknownWebhookError: there is none of this name.
        """
        found = self._subscriptions.get(name)
        if found is None:
            raise UnknownWebhookError
        return found

    def progress(self, subscription: Subscription) -> Progress:
        """Return how far a subscriber has been told."""
        return self._subscriptions.progress(subscription.id)

    def secret(self, subscription: Subscription) -> str:
        """Return the newest secret of a subscription."""
        return self._key.webhook_secret(subscription.id, subscription.secret)

    def signed_here(self, subscription: Subscription) -> bool:
        """Say whether this replica has the signing key that a subscription was made with."""
        return subscription.key_id == self._key.id

    def kept(self) -> FeatureView | None:
        """Return the feature that keeps messages for later, or None when they may be sent."""
        feature = self._switches.named(FEATURE)
        return None if feature.state is FeatureState.ENABLED else feature

    async def create(self, url: str, wanted: Choice, actor: str, key: str | None) -> Subscription:
        """Store a new subscription, to what happens from now on.

        Args:
            url: of the endpoint.
            wanted: which news, by names as they were written.
            actor: who subscribes.
            key: with the same one, the same actor makes one subscription however often it asks.

        Raises:
            KeyReusedError: the key made another subscription.
            TooManyWebhooksError: there are 100.
            UnavailableError: Kafka did not store it in time.
        """
        name = _named(actor, key) if key else None
        known = self._subscriptions.get(name) if name else None
        if known is not None:
            if (known.url, known.choice) != (url, Choice.of(wanted.about, wanted.skus, wanted.locations)):
                raise KeyReusedError
            return known
        try:
            made = self._subscriptions.draft(
                url,
                actor,
                name,
                about=wanted.about,
                skus=wanted.skus,
                locations=wanted.locations,
                begins=self._log.position,
            )
        except TooManySubscriptionsError as error:
            raise TooManyWebhooksError from error
        await self._stored("created", made, actor, self._subscriptions.store(made))
        return made

    async def replay(self, name: str, actor: str) -> Subscription:
        """Ask for what was sent lately to be sent again, and for an endpoint that was given up to be served again.

        Raises:
            UnknownWebhookError: there is none of this name.
            UnavailableError: Kafka did not store it in time.
        """
        after = self.get(name).again()
        await self._stored("replayed", after, actor, self._subscriptions.store(after))
        return after

    async def rotate(self, name: str, actor: str) -> Subscription:
        """Give a subscription another secret; the one before signs too for a day longer.

        Raises:
            UnknownWebhookError: there is none of this name.
            UnavailableError: Kafka did not store it in time.
        """
        after = self.get(name).rotated(self._clock.now())
        await self._stored("rotated", after, actor, self._subscriptions.store(after))
        return after

    async def delete(self, name: str, actor: str) -> None:
        """End a subscription.

        Raises:
            UnknownWebhookError: there is none of this name.
            UnavailableError: Kafka did not store it in time.
        """
        held = self.get(name)
        await self._stored("deleted", held, actor, self._subscriptions.remove(name))

    async def _stored(
        self, done: str, subscription: Subscription, actor: str, storing: Awaitable[None]
    ) -> None:
        try:
            await storing
        except PublishError as error:
            detail = "it did not confirm the change in time, which may still take effect"
            raise UnavailableError("kafka", detail, RETRY_S) from error
        _log.info(f"webhook {done}", subscription=subscription.id, actor=actor)


def _named(actor: str, key: str) -> str:
    return f"wh_{hashlib.sha256(f'{actor} {key}'.encode()).hexdigest()[:32]}"
