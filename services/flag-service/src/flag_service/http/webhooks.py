"""Webhooks over REST: subscribe, look at deliveries, replay, end. All of it needs a key that may write."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from uuid import uuid4

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from flag_service.application.desk import Request
from flag_service.application.registrar import Registrar
from flag_service.domain.subscription import Subscription, Topical
from resilience_contracts import Because, FeatureState, FeatureView
from resilience_contracts.events import SCOPE_PATTERN
from resilience_delivery import (
    Condition,
    Endpoint,
    LogEntry,
    Message,
    Progress,
    Subscriptions,
    TooManySubscriptionsError,
)
from resilience_runtime.bus import PublishError
from resilience_runtime.problem import Problem

from .changes import ApiKey, Changes, CorrelationId, not_stored

Kept = Callable[[Message], FeatureView | None]
"""The feature that keeps a message for later, if one does."""
Name = Annotated[str, Path(pattern=r"^wh_[0-9a-f]{32}$")]

_REFUSALS: dict[int | str, dict[str, Any]] = {
    401: {"description": "no key, or one that is not known"},
    403: {"description": "the key may not change anything"},
    404: {"description": "no such subscription"},
    409: {"description": "there are as many subscriptions as there may be"},
    503: {"description": "Kafka did not store it in time"},
}


class WebhookIn(BaseModel):
    """What is subscribed to."""

    model_config = ConfigDict(extra="forbid")

    url: Endpoint
    about: frozenset[Topical] = Field(default=frozenset(Topical), min_length=1)
    scope: Annotated[str, Field(pattern=SCOPE_PATTERN, max_length=100)] | None = None


class KeptOut(BaseModel):
    """Why a message is kept for later: the state of the feature that sends it, and what that comes from."""

    feature: str
    state: FeatureState
    because: Because
    detail: str


class PendingOut(BaseModel):
    """A message that has still to be sent; one that is kept for later says why."""

    message_id: str
    type: str
    subject: str
    kept: KeptOut | None

    @classmethod
    def of(cls, message: Message, kept: FeatureView | None) -> PendingOut:
        """Leave out the body."""
        why = kept and KeptOut(feature=kept.key, state=kept.state, because=kept.because, detail=kept.detail)
        return cls(message_id=message.id, type=message.type, subject=message.subject, kept=why)


class WebhookOut(BaseModel):
    """A subscription and how it fares.

    `signed_here` is false when this replica has another signing key than the one the secret was made from.
    """

    id: str
    url: str
    about: list[Topical]
    scope: str | None
    created_at: datetime
    created_by: str
    condition: Condition
    failing_since: datetime | None
    next_attempt_at: datetime | None
    pending: list[PendingOut]
    log: list[LogEntry]
    signed_here: bool

    @classmethod
    def of(cls, subscription: Subscription, progress: Progress, key_id: str, kept: Kept) -> WebhookOut:
        """Put both together; the log is newest first."""
        return cls(
            id=subscription.id,
            url=subscription.url,
            about=sorted(subscription.about),
            scope=subscription.scope,
            created_at=subscription.created_at,
            created_by=subscription.created_by,
            condition=progress.condition,
            failing_since=progress.failing_since,
            next_attempt_at=progress.next_at if progress.pending else None,
            pending=[PendingOut.of(message, kept(message)) for message in progress.pending],
            log=list(reversed(progress.log)),
            signed_here=subscription.key_id == key_id,
        )


class NewWebhookOut(WebhookOut):
    """A subscription with its new secret, which is shown this once."""

    secret: str


class WebhooksOut(BaseModel):
    """Every subscription, oldest first."""

    webhooks: list[WebhookOut]


@dataclass(frozen=True, slots=True)
class Webhooks:
    """What subscriptions are made with."""

    subscriptions: Subscriptions[Subscription]
    registrar: Registrar
    changes: Changes
    secret: Callable[[str, int], str]
    key_id: str
    kept: Kept

    def router(self) -> APIRouter:
        """Build the routes."""
        router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"], responses=_REFUSALS)
        router.post("", status_code=201, response_model=NewWebhookOut)(self._create)
        router.get("", response_model=WebhooksOut)(self._list)
        router.get("/{name}", response_model=WebhookOut)(self._show)
        router.delete("/{name}", status_code=204)(self._delete)
        router.post("/{name}:replay", status_code=202, response_model=WebhookOut)(self._replay)
        router.post("/{name}:rotate", response_model=NewWebhookOut)(self._rotate)
        return router

    async def _create(
        self, asked: WebhookIn, x_api_key: ApiKey = None, x_correlation_id: CorrelationId = None
    ) -> NewWebhookOut:
        """Subscribe; the newest state of everything asked for is sent at once."""
        request = self._request(x_api_key, x_correlation_id)
        try:
            made = await self.registrar.create(asked.url, asked.about, asked.scope, request)
        except TooManySubscriptionsError as error:
            raise Problem(
                409, "too_many_webhooks", "There are as many subscriptions as there may be."
            ) from error
        except PublishError as error:
            raise not_stored() from error
        return self._told(made)

    async def _list(self, x_api_key: ApiKey = None) -> WebhooksOut:
        """Return every subscription."""
        self.changes.actor(x_api_key)
        return WebhooksOut(webhooks=[self._out(one) for one in self.subscriptions.all()])

    async def _show(self, name: Name, x_api_key: ApiKey = None) -> WebhookOut:
        """Return a subscription with its last deliveries."""
        self.changes.actor(x_api_key)
        return self._out(self._known(name))

    async def _delete(
        self, name: Name, x_api_key: ApiKey = None, x_correlation_id: CorrelationId = None
    ) -> Response:
        """End a subscription."""
        request = self._request(x_api_key, x_correlation_id)
        try:
            await self.registrar.delete(self._known(name), request)
        except PublishError as error:
            raise not_stored() from error
        return Response(status_code=204)

    async def _replay(
        self, name: Name, x_api_key: ApiKey = None, x_correlation_id: CorrelationId = None
    ) -> WebhookOut:
        """Send the newest message of every subject again, unchanged; an endpoint given up is tried again."""
        request = self._request(x_api_key, x_correlation_id)
        try:
            await self.registrar.replay(self._known(name), request)
        except PublishError as error:
            raise not_stored() from error
        return self._out(self._known(name))

    async def _rotate(
        self, name: Name, x_api_key: ApiKey = None, x_correlation_id: CorrelationId = None
    ) -> NewWebhookOut:
        """Make a new secret; messages are signed with the one before it too for a day."""
        request = self._request(x_api_key, x_correlation_id)
        try:
            return self._told(await self.registrar.rotate(self._known(name), request))
        except PublishError as error:
            raise not_stored() from error

    def _told(self, subscription: Subscription) -> NewWebhookOut:
        secret = self.secret(subscription.id, subscription.secret)
        return NewWebhookOut(**dict(self._out(subscription)), secret=secret)

    def _request(self, key: str | None, correlation_id: str | None) -> Request:
        return Request(self.changes.actor(key), correlation_id or uuid4().hex)

    def _known(self, name: str) -> Subscription:
        found = self.subscriptions.get(name)
        if found is None:
            raise Problem(404, "unknown_webhook", f"There is no subscription {name}.")
        return found

    def _out(self, subscription: Subscription) -> WebhookOut:
        progress = self.subscriptions.progress(subscription.id)
        return WebhookOut.of(subscription, progress, self.key_id, self.kept)
