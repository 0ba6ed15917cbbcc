"""Wiring of what is told of stock, for `main`: the event stream, webhooks, and what both are read from."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from inventory_api.adapters.news_archive import KafkaArchive
from inventory_api.adapters.news_feed import NEWS_KEPT, RECENT_S, TOPICS, NewsFeed
from inventory_api.application.newsroom import Archive, Newsroom
from inventory_api.application.switches import Switches
from inventory_api.application.webhooks import WebhookDesk
from inventory_api.domain.news import NewsLog
from inventory_api.domain.subscription import Subscription
from inventory_api.http.live import Live
from inventory_api.http.stock_stream import LIVE_UPDATES, StockStream
from inventory_api.settings import Settings
from resilience_contracts import Topic
from resilience_delivery import (
    AddressGuard,
    Courier,
    KafkaLease,
    Lease,
    SigningKey,
    Streams,
    Subscriptions,
    WebhookSender,
)
from resilience_runtime import Apply, Clock, EventPublisher, OnBad, Reader, ReplicaReader
from resilience_runtime.pulse import Pulse

COURIERS = "inventory-api.webhooks"
"""The consumer group that elects the replica which delivers webhooks."""
MAILBOX = 500
GATHER_S = 0.05
"""News may wait so long for one another."""

Forget = Callable[[], None]
Begin = Callable[[Mapping[str, int]], None]


@dataclass(frozen=True, slots=True)
class Sources:
    """Kafka, or an in-memory bus.

    Attributes:
        read_news: opens a reader of the topics of stock, of what was written lately and what comes.
        read_webhooks: opens a reader of subscriptions and progress.
    """

    publisher: EventPublisher
    read_news: Callable[[Apply, Forget, Begin], Reader]
    read_webhooks: Callable[[Apply, Forget], Reader]
    archive: Archive
    lease: Lease


@dataclass(frozen=True, slots=True)
class LivePart:
    """The part of the service that tells: what routes work with, its tasks, and what metrics look at."""

    live: Live
    streams: Streams
    courier: Courier[Subscription]
    subscriptions: Subscriptions[Subscription]
    lease: Lease
    tasks: tuple[Callable[[], Coroutine[Any, Any, None]], ...]


def kafka_sources(
    settings: Settings, publisher: EventPublisher, refused: OnBad, clock: Clock, rng: Random
) -> Sources:
    """Prepare readers on Kafka; nothing is connected yet."""
    kafka, name = settings.kafka, settings.instance

    def read_news(apply: Apply, forget: Forget, begin: Begin) -> Reader:
        return ReplicaReader(
            kafka,
            TOPICS,
            apply,
            forget,
            on_bad=refused,
            client_id=name,
            gather_s=GATHER_S,
            since_s=RECENT_S,
            on_begin=begin,
        )

    def read_webhooks(apply: Apply, forget: Forget) -> Reader:
        return ReplicaReader(kafka, (Topic.STOCK_WEBHOOKS,), apply, forget, on_bad=refused, client_id=name)

    lease = KafkaLease(
        kafka, topic=Topic.STOCK_WEBHOOKS, group=COURIERS, client_id=name, clock=clock, rng=rng
    )
    return Sources(publisher, read_news, read_webhooks, KafkaArchive(kafka, name), lease)


def build_live(
    settings: Settings, switches: Switches, sources: Sources, clock: Clock, rng: Random
) -> LivePart:
    """Put it together; nothing runs yet."""
    pulse, log = Pulse(), NewsLog(NEWS_KEPT)
    streams = Streams(settings.stream_clients, MAILBOX)
    stream = StockStream(log, streams, lambda: switches.named(LIVE_UPDATES).state, clock, rng)
    feed = NewsFeed(log, stream.tell, pulse.beat)

    def forget() -> None:
        feed.forget()
        stream.forget()

    news = sources.read_news(feed.apply, forget, log.begin)
    key = SigningKey.load(settings.signing_key_file, settings.state_dir)
    subscriptions = Subscriptions(
        Topic.STOCK_WEBHOOKS,
        Subscription,
        publisher=sources.publisher,
        clock=clock,
        pulse=pulse,
        key_id=key.id,
    )
    webhooks = sources.read_webhooks(subscriptions.apply, subscriptions.begin)
    desk = WebhookDesk(subscriptions, log, key, switches, clock)
    guard = AddressGuard(settings.webhook_allowed_networks)
    courier = Courier(
        subscriptions=subscriptions,
        news=Newsroom(log, sources.archive).news,
        ready=lambda: sources.lease.held and news.caught_up and webhooks.caught_up,
        kept=lambda _: desk.kept(),
        secrets=key.webhook_secrets,
        key_id=key.id,
        sender=WebhookSender(guard, ssl.create_default_context(), clock),
        clock=clock,
        pulse=pulse,
        rng=rng,
        remains=lambda _: None,
    )
    return LivePart(
        live=Live(stream, desk, lambda: news.caught_up and webhooks.caught_up),
        streams=streams,
        courier=courier,
        subscriptions=subscriptions,
        lease=sources.lease,
        tasks=(
            news.run,
            webhooks.run,
            sources.lease.run,
            courier.run,
            stream.run,
            streams.keep_alive,
        ),
    )
