"""Webhooks on a real Kafka: one of two replicas delivers, and the other goes on when it stops."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from resilience_cli.topics import apply_declared
from resilience_contracts import FeatureState, Level
from resilience_runtime import KafkaPublisher
from tests.delivery.receiver import receiving
from tests.flag_service.processes import HELD, KEY, Flags, World
from tests.flag_service.running import until

DELIVERS = '"event": "delivers webhooks"'
TAKEN_OVER_WITHIN_S = 25.0
"""Kafka misses a killed replica, be it of an earlier test on the same group, after its session timeout of ten seconds;
the group then needs a few to elect."""


@pytest.fixture
async def world(kafka_bootstrap: str, tmp_path: Path) -> AsyncIterator[World]:
    apply_declared(kafka_bootstrap)
    async with AsyncExitStack() as stack, KafkaPublisher(kafka_bootstrap) as publisher:
        yield World(kafka_bootstrap, tmp_path, publisher, stack)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
async def test_the_replica_that_is_left_goes_on_with_the_same_subscription_and_secret(
    world: World, how: signal.Signals
) -> None:
    key = world.directory / "signing.key"
    key.write_text("k" * 40)
    env = {"SIGNING_KEY_FILE": str(key), "WEBHOOK_ALLOWED_NETWORKS": '["127.0.0.0/8"]'}
    await world.tell(Level.OPTIMAL)
    both = [await world.flags(name, **env) for name in ("flags-1", "flags-2")]
    for flags in both:
        await flags.until_state(FeatureState.ENABLED)

    def delivering() -> list[Flags]:
        return [flags for flags in both if DELIVERS in flags.log.read_text()]

    first = (await until(delivering))[0]
    second = next(flags for flags in both if flags is not first)
    async with receiving() as receiver:
        made = await second.client.post(
            "/v1/webhooks", json={"url": receiver.url, "scope": world.scope}, headers={"X-API-Key": KEY}
        )
        await second.put(world.scope, state="DISABLED")
        await until(lambda: len(receiver.requests) == 1)
        first.process.send_signal(how)
        await first.process.wait()
        await second.client.delete(f"/v1/holds/{world.scope}/{HELD}", headers={"X-API-Key": KEY})
        await until(lambda: len(receiver.requests) == 2, TAKEN_OVER_WITHIN_S)

        for request in receiver.requests:
            Webhook(made.json()["secret"]).verify(request.body, request.headers)

    assert [request.event["data"]["target"] for request in receiver.requests] == [HELD, HELD]
    assert [request.event["type"].split(".")[3] for request in receiver.requests] == ["set", "ended"]
