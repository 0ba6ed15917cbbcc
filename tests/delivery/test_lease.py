"""The election of who delivers, where aiokafka misbehaves."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from resilience_delivery import lease
from resilience_delivery.lease import KafkaLease
from resilience_runtime.clock import SystemClock
from resilience_runtime.kafka.access import KafkaAccess


class Leaking:
    """A consumer that cancels a call of its own, as aiokafka may once a session has expired."""

    stood = 0

    def __init__(self, *_: object, **__: object) -> None:
        Leaking.stood += 1

    async def start(self) -> None:
        """Begin."""

    async def stop(self) -> None:
        """End."""

    def assignment(self) -> set[object]:
        return set()

    def pause(self, *_: object) -> None:
        """Do nothing."""

    async def getmany(self, **_: object) -> None:
        raise asyncio.CancelledError


async def test_a_call_that_aiokafka_cancels_by_itself_does_not_end_the_election(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lease, "AIOKafkaConsumer", Leaking)
    kafka, clock = KafkaAccess.of("127.0.0.1:9"), SystemClock()
    standing = asyncio.ensure_future(
        KafkaLease(kafka, topic="t", group="g", client_id="c", clock=clock, rng=Random(1)).run()
    )

    async with asyncio.timeout(10):
        while Leaking.stood < 2 and not standing.done():  # noqa: ASYNC110 - the consumer is the library's
            await asyncio.sleep(0.01)
    assert not standing.done()

    standing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await standing
