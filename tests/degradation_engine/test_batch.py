"""Faust's consumer over batches: what is committed, and when."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import faust
import pytest
from aiokafka import ConsumerRecord
from faust.contrib.asgi import bind_to_running_loop
from faust.types import TP

from degradation_engine.batch import LARGEST, Batch, BatchConsumer, BatchTransport
from degradation_engine.stream import SETTINGS

PART = TP("health", 0)


def record(offset: int) -> ConsumerRecord[bytes, bytes]:
    return ConsumerRecord("health", 0, offset, 1_000, 0, b"k", b"v", None, 1, 1, ())


def batch(first: int, last: int) -> Batch:
    return Batch(PART, [record(offset) for offset in range(first, last + 1)], 0)


@pytest.fixture
async def consumer(tmp_path: object) -> AsyncIterator[BatchConsumer]:
    app = faust.App("batch-test", **SETTINGS | {"datadir": str(tmp_path)})
    app.transport = BatchTransport(app.conf.broker_consumer, app)
    bind_to_running_loop(app)
    app.finalize()
    made = app.consumer
    assert isinstance(made, BatchConsumer)
    yield made
    made._thread.thread_loop.close()


def leave(consumer: BatchConsumer, left: Batch) -> None:
    """Do what a compiled stream of Faust does with a message that leaves the agent, however it does."""
    left.acked = True
    consumer._acked_index[left.tp].add(left.offset)
    consumer._acked[left.tp].append(left.offset)


def to_commit(consumer: BatchConsumer) -> dict[TP, int]:
    return consumer._filter_committable_offsets(consumer._filter_tps_with_pending_acks())


async def test_each_batch_that_was_taken_commits_past_its_last_record(consumer: BatchConsumer) -> None:
    for taken in (batch(0, 0), batch(1, 4), batch(5, 9)):
        consumer.took(taken)
        leave(consumer, taken)

        assert to_commit(consumer) == {PART: taken.offset + 1}
        consumer._committed_offset[PART] = taken.offset + 1

    assert to_commit(consumer) == {}
    assert len(consumer._acked[PART]) == 1, "Faust's books do not grow"


async def test_a_batch_that_left_the_agent_untaken_commits_nothing(consumer: BatchConsumer) -> None:
    leave(consumer, batch(0, 4))
    assert to_commit(consumer) == {}

    consumer.took(batch(0, 4))
    leave(consumer, batch(5, 9))

    assert to_commit(consumer) == {PART: 5}


async def test_a_batch_from_before_a_rebalance_commits_nothing(consumer: BatchConsumer) -> None:
    consumer.app.consumer_generation_id = 1

    consumer.took(batch(0, 4))

    assert to_commit(consumer) == {}


async def test_what_was_taken_of_a_partition_that_went_commits_nothing(consumer: BatchConsumer) -> None:
    consumer.took(batch(0, 4))

    await consumer.on_partitions_revoked({PART})
    leave(consumer, batch(5, 9))

    assert to_commit(consumer) == {}


async def test_a_batch_in_work_is_waited_for(consumer: BatchConsumer) -> None:
    waiting = batch(0, 4)
    consumer.track_message(waiting)
    emptied = asyncio.create_task(consumer.wait_empty())
    await asyncio.sleep(0)
    assert not emptied.done()

    consumer.ack(waiting)

    await asyncio.wait_for(emptied, 5)
    assert not consumer.unacked


async def test_a_fetch_becomes_batches_in_order_and_of_bounded_size(
    consumer: BatchConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = [record(offset) for offset in range(LARGEST + 3)]

    async def fetch(*_: object, **__: object) -> dict[TP, list[ConsumerRecord[bytes, bytes]]]:
        return {PART: fetched}

    monkeypatch.setattr(consumer._thread, "getmany", fetch)

    found = await consumer._getmany(None, 1.0)

    messages = [consumer._to_message(PART, records) for records in found[PART]]
    assert [len(records) for records in found[PART]] == [LARGEST, 3]
    assert [message.offset for message in messages] == [LARGEST - 1, LARGEST + 2]
    assert [kept for records in found[PART] for kept in records] == fetched
