"""What the service is given, for `main`: Kafka, keys, time and chance."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from random import Random

from flag_service.adapters.letters import Letters, Send
from flag_service.adapters.vitals_feed import RECENT_S
from flag_service.settings import Settings
from resilience_contracts import Topic
from resilience_delivery import KafkaLease, Lease
from resilience_runtime.api_keys import KeyRing
from resilience_runtime.bus import Apply, EventPublisher, Reader
from resilience_runtime.clock import Clock, SystemClock
from resilience_runtime.intake import OnBad
from resilience_runtime.kafka import DeadLetters, KafkaPublisher, ReplicaReader
from resilience_runtime.tracing import NoTracing, Tracing

COURIERS = "flag-service.webhooks"
"""The consumer group that elects the replica which delivers webhooks."""

OpenReader = Callable[[Iterable[str], Apply, Callable[[], None], OnBad], Reader]
"""Opens a reader of topics: what applies a message, what is told before everything is read again, and what is
told of a message that could not be applied."""


@dataclass(frozen=True, slots=True)
class Outside:
    """What the service is given: Kafka or an in-memory bus, keys, time and chance."""

    publisher: EventPublisher
    open_reader: OpenReader
    open_recent: Callable[[Iterable[str], Apply], Reader]
    send_letter: Send
    keys: KeyRing
    clock: Clock
    rng: Random
    boot: str
    lease: Lease
    tracing: Tracing = field(default_factory=NoTracing)


def build_outside(settings: Settings, publisher: KafkaPublisher, tracing: Tracing) -> Outside:
    """Prepare everything; nothing is connected yet but the publisher."""
    reader = partial(
        ReplicaReader, settings.kafka, client_id=settings.instance, names=settings.resilience_regions
    )

    def open_reader(
        topics: Iterable[str], apply: Apply, on_rebuild: Callable[[], None], on_bad: OnBad
    ) -> Reader:
        return reader(topics, tracing.applied(apply), on_rebuild, on_bad=on_bad)

    clock, rng = SystemClock(), Random()  # noqa: S311 - spreads replicas, guards nothing
    return Outside(
        publisher=publisher,
        open_reader=open_reader,
        open_recent=partial(reader, since_s=RECENT_S),
        send_letter=partial(DeadLetters(publisher).send, stage="apply"),
        keys=KeyRing.load(settings.api_keys_file),
        clock=clock,
        rng=rng,
        boot=secrets.token_hex(4),
        lease=KafkaLease(
            settings.kafka,
            topic=Topic.WEBHOOKS,
            group=COURIERS,
            client_id=settings.instance,
            clock=clock,
            rng=rng,
        ),
        tracing=tracing,
    )


def reading(
    outside: Outside,
    letters: Letters,
    topics: Iterable[str],
    apply: Apply,
    on_rebuild: Callable[[], None],
) -> Reader:
    """Open a reader of topics, whose bad records become letters."""

    def begin() -> None:
        letters.forget(topics)
        on_rebuild()

    return outside.open_reader(topics, apply, begin, letters.deal_with)
