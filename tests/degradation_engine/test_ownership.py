from __future__ import annotations

import asyncio
from random import Random

import pytest

from degradation_engine import metrics as rows
from degradation_engine.adapters.shelf import Shelf, partition_of
from degradation_engine.ownership import Ownership
from resilience_contracts import Outcome, Topic, dead_letter_topic
from resilience_runtime.clock import ManualClock
from resilience_runtime.memory import MemoryBus
from resilience_runtime.metrics import Metrics, build_registry
from tests.degradation_engine.records import stored
from tests.degradation_engine.shop import POLICY, START, report
from tests.degradation_engine.test_partition import SOURCE, message

OK = Outcome.OK


def owner(bus: MemoryBus, clock: ManualClock) -> tuple[Ownership, Metrics]:
    metrics = build_registry(rows.TABLE)
    ownership = Ownership(
        POLICY, lambda _now: {}, bus, SOURCE, clock=clock, random=Random(1), metrics=metrics
    )
    return ownership, metrics


async def test_a_bad_event_goes_to_the_dead_letters_with_its_reason_and_the_next_is_taken() -> None:
    clock = ManualClock(START, jump=True)
    bus = MemoryBus(clock=clock)
    ownership, metrics = owner(bus, clock)
    ownership.replace({0}, Shelf(1))

    await ownership.take(0, [stored(b"default", b"garbage")])
    await ownership.take(0, [message(report("payments", [OK], 0), 1)])
    await ownership.take(0, [message(report("redis", [OK], 0), 2)])

    letters = bus.records(dead_letter_topic(Topic.HEALTH))
    found = [dict(letter.headers) for letter in letters]
    assert [letter[b] for letter in found for b in ("dlq_stage", "dlq_error_class")] == [
        b"decode",
        b"CodecError",
        b"apply",
        b"Refused",
    ]
    assert letters[0].value == b"garbage"
    sample = metrics.registry.get_sample_value
    assert sample("degradation_engine_events_total", {"result": "taken"}) == 1
    assert sample("degradation_engine_events_total", {"result": "dead_decode"}) == 1
    assert sample("degradation_engine_refused_events_total", {"reason": "unknown_dependency"}) == 1
    assert sample("degradation_engine_level", {"scope": "default"}) == 0


async def test_a_record_of_a_partition_that_is_not_owned_is_not_acknowledged() -> None:
    clock = ManualClock(START, jump=True)
    bus = MemoryBus(clock=clock)
    ownership, _ = owner(bus, clock)
    ownership.replace({1}, Shelf(1))

    with pytest.raises(KeyError):
        await ownership.take(0, [message(report("redis", [OK], 0))])

    assert bus.records(Topic.LEVELS) == []


async def test_release_stores_everything_and_owns_nothing() -> None:
    clock = ManualClock(START, jump=True)
    bus = MemoryBus(clock=clock)
    ownership, metrics = owner(bus, clock)
    ownership.replace({0}, Shelf(1))
    await ownership.take(0, [message(report("redis", [OK], 0))])
    await ownership.take(0, [message(report("redis", [OK, OK], 1, sequence=1), 1, seconds=1)])
    stored = len(bus.records(Topic.ENGINE_STATE))

    await ownership.release()

    assert len(bus.records(Topic.ENGINE_STATE)) == stored + 1
    assert ownership.numbers == frozenset()
    assert metrics.registry.get_sample_value("degradation_engine_partitions") == 0


async def test_a_release_without_kafka_gives_up_in_time() -> None:
    clock = ManualClock(START, jump=True)
    bus = MemoryBus(clock=clock)
    ownership, _ = owner(bus, clock)
    ownership.replace({0}, Shelf(1))
    await ownership.take(0, [message(report("redis", [OK], 0))])
    await ownership.take(0, [message(report("redis", [OK, OK], 1, sequence=1), 1, seconds=1)])
    bus.up = False

    await ownership.release()

    assert ownership.numbers == frozenset()


async def test_a_tick_goes_on_after_a_partition_that_cannot_store() -> None:
    clock = ManualClock(START, jump=True)
    bus = MemoryBus(clock=clock)
    ownership, _ = owner(bus, clock)
    ownership.replace({0}, Shelf(1))
    await ownership.take(0, [message(report("redis", [OK], 0))])
    await clock.sleep(60)
    bus.up = False

    await ownership.tick(clock.now(), lambda _number: True)
    bus.up = True
    await ownership.tick(clock.now(), lambda _number: True)

    assert len(bus.records(Topic.LEVELS)) > 1


async def test_a_partition_that_goes_while_others_are_ticked_is_ticked_no_more() -> None:
    clock = ManualClock(START)
    bus = MemoryBus(clock=clock)
    ownership, _ = owner(bus, clock)
    names = (f"s{n}" for n in range(100))
    scopes = {partition_of(name.encode(), 2): name for name in names}
    ownership.replace({0, 1}, Shelf(2))
    for number, scope in scopes.items():
        await ownership.take(number, [message(report("redis", [OK], 0, scope=scope))])
    await clock.advance(60)
    known = len(bus.records(Topic.LEVELS))

    ticking = asyncio.create_task(ownership.tick(clock.now(), lambda _number: True, over_s=1))
    await clock.advance(0.1)
    await ownership.release()
    await clock.advance(1)
    await ticking

    assert {record.key for record in bus.records(Topic.LEVELS)[known:]} == {scopes[0].encode()}
