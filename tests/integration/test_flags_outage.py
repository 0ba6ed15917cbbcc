"""Kafka is killed under running flag services, and comes back."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from resilience_cli.stack import Kafka, Place, await_ready, destroy, free_ports, halt, start
from resilience_cli.topics import apply_declared
from resilience_contracts import FeatureState, Level
from resilience_contracts.audit import faults
from resilience_runtime import KafkaPublisher
from tests.flag_service.processes import World
from tests.flag_service.running import until


class OwnKafka:
    """A Kafka that one test may kill."""

    def __init__(self, place: Place) -> None:
        self._place = place
        port, controller_port = free_ports(2)
        self.kafka = Kafka(place, port, controller_port)
        self.start()
        apply_declared(self.kafka.bootstrap)

    def start(self) -> None:
        self.running = start(self.kafka, self._place, "the port of this test")
        await_ready(self.running, 120)

    def kill(self) -> None:
        destroy(self.running)


@pytest.fixture
def own_kafka(services_place: Place) -> Iterator[OwnKafka]:
    place = Place(services_place.root / f"flags-{uuid.uuid4().hex[:8]}")
    place.root.mkdir(mode=0o755)
    own = OwnKafka(place)
    yield own
    halt(own.running)


@pytest.mark.timeout(300)
async def test_killing_kafka_changes_no_answer_and_everything_goes_on_after_it_is_back(
    own_kafka: OwnKafka, tmp_path: Path
) -> None:
    bootstrap = own_kafka.kafka.bootstrap
    async with AsyncExitStack() as stack, KafkaPublisher(bootstrap) as publisher:
        world = World(bootstrap, tmp_path, publisher, stack)
        await world.tell(Level.LIMITED, next_heartbeat_by=datetime.now(UTC) + timedelta(seconds=20))
        flags = await world.flags()
        await flags.until_state(FeatureState.DISABLED)
        assert (
            await flags.put(world.scope, state="FALLBACK", allow_better=True, expires_in_s=15)
        ).status_code == 200

        await asyncio.to_thread(own_kafka.kill)
        held = await flags.feature()
        refused = await flags.put(world.scope, state="DISABLED")
        ended = await flags.until_state(FeatureState.DISABLED)

        async def stale() -> bool:
            return (await flags.client.get(f"/v1/levels/{world.scope}")).json()["stale"] is True

        await until(stale)

        await asyncio.to_thread(own_kafka.start)
        await world.tell(Level.OPTIMAL, 2)
        await flags.until_state(FeatureState.ENABLED)
        set_again = await flags.put(world.scope, state="FALLBACK")

        assert (held["state"], held["because"]) == ("FALLBACK", "hold")
        assert refused.status_code == 503
        assert (ended["because"], ended["hold"]) == ("level", None)
        assert set_again.status_code == 200
        assert (await flags.feature())["state"] == "FALLBACK"
        assert not list(faults(await world.audit()))
