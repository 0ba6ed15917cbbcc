"""What the courier does when a part of it breaks in a way that nobody foresaw."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from random import Random

from resilience_delivery.courier import Courier, News
from resilience_delivery.message import Answer, Message
from resilience_delivery.signing_key import SigningKey
from resilience_delivery.subscriptions import Subscriptions
from resilience_delivery.webhook import Progress, Subscription
from resilience_runtime import ManualClock, MemoryBus
from resilience_runtime.pulse import Pulse

TOPIC = "webhooks"
MESSAGE = Message("msg_1", "t", "level", "default", "level:default", "{}")


class BreaksOnce:
    """A sender whose first attempt raises what no sender should."""

    def __init__(self) -> None:
        self.attempts = 0

    async def send(self, _url: str, _secrets: Sequence[str], _message: Message) -> Answer:
        self.attempts += 1
        if self.attempts == 1:
            raise LookupError("broken")
        return Answer(204)


async def news(_subscription: Subscription, _progress: Progress) -> News:
    return News([MESSAGE])


async def test_a_subscription_whose_task_broke_is_served_again() -> None:
    clock, pulse, key, sender = ManualClock(jump=True), Pulse(), SigningKey(b"k" * 32), BreaksOnce()
    bus = MemoryBus(clock=clock)
    subscriptions = Subscriptions(TOPIC, Subscription, publisher=bus, clock=clock, pulse=pulse, key_id=key.id)
    courier = Courier(
        subscriptions=subscriptions,
        news=news,
        ready=lambda: True,
        kept=lambda _: None,
        secrets=key.webhook_secrets,
        key_id=key.id,
        sender=sender,
        clock=clock,
        pulse=pulse,
        rng=Random(1),
    )
    reader = bus.reader((TOPIC,), subscriptions.apply, subscriptions.begin)
    tasks = [asyncio.create_task(reader.run()), asyncio.create_task(courier.run())]
    try:
        async with asyncio.timeout(10):
            made = subscriptions.draft("https://shop.example", "me")
            await subscriptions.store(made)
            while not subscriptions.progress(made.id).log:
                await pulse.wait(1)
    finally:
        for task in tasks:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks)

    assert [entry.status for entry in subscriptions.progress(made.id).log] == [204]
    assert sender.attempts == 2
