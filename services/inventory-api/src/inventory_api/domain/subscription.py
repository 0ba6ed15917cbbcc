"""What a webhook is subscribed to, and news as a message: a CloudEvent in JSON and a payload of Standard Webhooks."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache

from resilience_delivery import webhook
from resilience_delivery.message import Message

from .news import Choice, News, Topical

SOURCE = "/services/inventory-api"
EDGE = "edge"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription(webhook.Subscription):
    """Who wants to be told of what; what is empty chooses all.

    Attributes:
        begins: the position in the topics from which on news are told.
    """

    about: frozenset[Topical]
    skus: frozenset[str]
    locations: frozenset[str]
    begins: dict[str, int]

    @property
    def choice(self) -> Choice:
        """Which news are wanted."""
        return _chosen(self.about, self.skus, self.locations)


@lru_cache(200)
def _chosen(about: frozenset[Topical], skus: frozenset[str], locations: frozenset[str]) -> Choice:
    # Asked for each subscription with each piece of news; folding a thousand names takes longer than all the rest.
    return Choice.of(about, skus, locations)


def message_of(news: News) -> Message:
    """Write news as a message. Its id is that of its bytes: two that differ never have the same one."""
    head = {
        "specversion": "1.0",
        "id": news.event_id,
        "source": SOURCE,
        "type": news.type,
        "subject": news.sku,
        "time": news.time,
        "timestamp": news.time,
        "datacontenttype": "application/json",
    }
    text = json.dumps(head, separators=(",", ":"), ensure_ascii=False)
    body = f'{text[:-1]},"data":{news.data}}}'
    digest = hashlib.sha256(body.encode()).hexdigest()
    return Message(f"msg_{digest[:32]}", news.type, news.about, news.sku, subject_of(news), body)


def subject_of(news: News) -> str:
    """Name what news tell the state of: back in stock ends low stock, and is ended by it."""
    if news.about is Topical.AVAILABILITY:
        return f"{news.about}:{news.sku}"
    return f"{EDGE}:{news.sku}/{','.join(news.locations)}"
