"""Webhooks over REST: subscribe, look at deliveries, replay, rotate, end. All of it needs a key that may administer."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from inventory_api.application.webhooks import WebhookDesk
from inventory_api.domain.news import Choice, Topical
from inventory_api.domain.subscription import Subscription
from resilience_contracts import Because, FeatureState, FeatureView
from resilience_delivery import Condition, Endpoint, Message, Outcome

from .fields import In, LocationCode, Out, SkuText
from .live import Living
from .rendering import render, respond
from .services import Key, caller_of

router = APIRouter(prefix="/v1/webhooks", tags=["live"])

SKUS_MOST, LOCATIONS_MOST = 1_000, 100
EVERYTHING = frozenset(Topical)

Name = Annotated[str, Path(pattern=r"^wh_[0-9a-f]{32}$", examples=["wh_6f1c7f9e2f7b4a539f0e0c7d1b8f3a11"])]


class WebhookIn(In):
    """What is subscribed to: what is empty chooses all."""

    url: Endpoint = Field(examples=["https://shop.example/hooks"])
    kinds: frozenset[Topical] = Field(default=EVERYTHING, min_length=1)
    skus: frozenset[SkuText] = Field(default=frozenset(), max_length=SKUS_MOST)
    locations: frozenset[LocationCode] = Field(default=frozenset(), max_length=LOCATIONS_MOST)


class KeptOut(Out):
    """Why messages are kept for later: the state of the feature that sends them, and what that comes from."""

    feature: str
    state: FeatureState
    because: Because
    detail: str


class PendingOut(Out):
    """A message that has still to be sent."""

    message_id: str
    type: str
    subject: str


class AttemptOut(Out):
    """One line of the delivery log."""

    message_id: str
    type: str
    at: datetime
    outcome: Outcome
    status: int | None
    detail: str


class WebhookOut(Out):
    """A subscription and how it fares.

    `kept` says why nothing is sent for now. `signed_here` is false when this replica has another signing key than the
    one the secret was made from. The log is newest first.
    """

    id: str
    url: str
    kinds: list[Topical]
    skus: list[str]
    locations: list[str]
    created_at: datetime
    created_by: str
    rotated_at: datetime | None
    condition: Condition
    failing_since: datetime | None
    next_attempt_at: datetime | None
    kept: KeptOut | None
    pending: list[PendingOut]
    log: list[AttemptOut]
    signed_here: bool


class SecretWebhookOut(WebhookOut):
    """A subscription with its new secret, which is shown this once."""

    secret: str


class WebhooksOut(Out):
    """Every subscription, oldest first."""

    items: list[WebhookOut]


def _members(desk: WebhookDesk, one: Subscription) -> dict[str, Any]:
    progress = desk.progress(one)
    return {
        "id": one.id,
        "url": one.url,
        "kinds": sorted(one.about),
        "skus": sorted(one.skus),
        "locations": sorted(one.locations),
        "created_at": one.created_at,
        "created_by": one.created_by,
        "rotated_at": one.rotated_at,
        "condition": progress.condition,
        "failing_since": progress.failing_since,
        "next_attempt_at": progress.next_at if progress.pending else None,
        "kept": _kept(desk.kept()),
        "pending": [_pending(message) for message in progress.pending],
        "log": [AttemptOut.model_validate(entry, from_attributes=True) for entry in reversed(progress.log)],
        "signed_here": desk.signed_here(one),
    }


def _kept(feature: FeatureView | None) -> KeptOut | None:
    if feature is None:
        return None
    return KeptOut(feature=feature.key, state=feature.state, because=feature.because, detail=feature.detail)


def _pending(message: Message) -> PendingOut:
    return PendingOut(message_id=message.id, type=message.type, subject=message.subject)


def _shown(desk: WebhookDesk, one: Subscription, status: int = 200) -> Response:
    return respond(render(WebhookOut(**_members(desk, one)), status, headers={"Cache-Control": "no-store"}))


def _told(desk: WebhookDesk, one: Subscription, status: int) -> Response:
    body = SecretWebhookOut(**_members(desk, one), secret=desk.secret(one))
    headers = {"Cache-Control": "no-store", "Location": f"/v1/webhooks/{one.id}"}
    return respond(render(body, status, headers))


@router.post("", status_code=201, response_model=SecretWebhookOut)
async def subscribe(request: Request, live: Living, body: WebhookIn, key: Key = None) -> Response:
    """Subscribe to news of stock from now on; the answer has the secret, this once."""
    live.check_reading()
    wanted = Choice(body.kinds, body.skus, body.locations)
    made = await live.desk.create(body.url, wanted, caller_of(request), key)
    return _told(live.desk, made, 201)


@router.get("", response_model=WebhooksOut)
async def subscriptions(live: Living) -> Response:
    """List every subscription with its last deliveries."""
    items = [WebhookOut(**_members(live.desk, one)) for one in live.desk.all()]
    return respond(render(WebhooksOut(items=items), headers={"Cache-Control": "no-store"}))


@router.get("/{name}", response_model=WebhookOut)
async def show(live: Living, name: Name) -> Response:
    """Show a subscription: what waits, and its last 50 attempts."""
    return _shown(live.desk, live.desk.get(name))


@router.delete("/{name}", status_code=204, response_class=Response)
async def end(request: Request, live: Living, name: Name) -> Response:
    """End a subscription."""
    await live.desk.delete(name, caller_of(request))
    return Response(status_code=204)


@router.post("/{name}:replay", status_code=202, response_model=WebhookOut)
async def replay(request: Request, live: Living, name: Name) -> Response:
    """Send what was sent lately again, unchanged; an endpoint given up is served again, from where it was left."""
    return _shown(live.desk, await live.desk.replay(name, caller_of(request)), 202)


@router.post("/{name}:rotate", response_model=SecretWebhookOut)
async def rotate(request: Request, live: Living, name: Name) -> Response:
    """Make a new secret; messages are signed with the one before it too for a day."""
    return _told(live.desk, await live.desk.rotate(name, caller_of(request)), 200)
