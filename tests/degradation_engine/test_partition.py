"""One partition with its outbox, on the bus in memory."""

from __future__ import annotations

import asyncio
import dataclasses
import re
from datetime import timedelta
from random import Random

import pytest
from aiokafka import ConsumerRecord
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from degradation_engine import metrics as rows
from degradation_engine.adapters.shelf import Shelf, partition_of
from degradation_engine.adapters.state_record import readable
from degradation_engine.domain import Refused
from degradation_engine.partition import Partition
from resilience_contracts import (
    BreakerState,
    CodecError,
    HealthObserved,
    Level,
    LevelChanged,
    LevelState,
    Outcome,
    Topic,
    decode,
    encode,
)
from resilience_runtime.bus import Headers, PublishError
from resilience_runtime.clock import ManualClock
from resilience_runtime.memory import MemoryBus
from resilience_runtime.metrics import build_registry
from resilience_runtime.otel import OtelTracing
from resilience_runtime.tracing import Tracing
from tests.contracts.states import level_changed
from tests.degradation_engine.records import stored
from tests.degradation_engine.shop import POLICY, START, Shop, at, breaker, level_hold, report

SOURCE = "/services/degradation-engine/e1"
MONITOR = "/services/health-monitor/m1"
OK, MISS = Outcome.OK, Outcome.TIMEOUT


def message(
    event: HealthObserved, offset: int = 0, *, seconds: float | None = None, key: bytes | None = None
) -> ConsumerRecord[bytes, bytes]:
    record = encode(event, MONITOR)
    stored_at = event.observed_at if seconds is None else at(seconds)
    stored_ms = int(stored_at.timestamp() * 1000)
    return stored(record.key if key is None else key, record.value, record.headers, offset, stored_ms)


class Bench:
    """A partition under a clock that stands at `START` plus some seconds."""

    def __init__(
        self,
        bus: MemoryBus | None = None,
        clock: ManualClock | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self.clock = clock or ManualClock(START, jump=True)
        self.bus = bus or MemoryBus(clock=self.clock)
        self.metrics = build_registry(rows.TABLE)
        self.partition = Partition(
            0,
            POLICY,
            self.bus,
            SOURCE,
            clock=self.clock,
            random=Random(1),
            metrics=self.metrics,
            tracing=tracing,
        )

    async def take(self, *events: HealthObserved) -> None:
        for offset, event in enumerate(events):
            ahead_s = (event.observed_at - self.clock.now()).total_seconds()
            await self.clock.sleep(max(0.0, ahead_s))
            assert await self.partition.take([message(event, offset)]) == []

    def states(self) -> list[LevelState]:
        found = (decode(m.value, m.headers).event for m in self.bus.records(Topic.LEVELS))
        return [event for event in found if isinstance(event, LevelState)]

    def changes(self) -> list[LevelChanged]:
        found = (decode(m.value, m.headers).event for m in self.bus.records(Topic.LEVEL_CHANGES))
        return [event for event in found if isinstance(event, LevelChanged)]

    def shelf(self) -> Shelf:
        """What the topics hold now, as a successor reads it."""
        shelf = Shelf(1)
        for record in self.bus.records(Topic.ENGINE_STATE):
            scope = (record.key or b"").decode()
            shelf.states[scope] = readable(scope, record.value or b"")
        for state in self.states():
            shelf.put_level(state)
        return shelf


def outage(scope: str = "default") -> list[HealthObserved]:
    healthy = [
        report(name, [OK], index / 10, scope=scope) for index, name in enumerate(sorted(POLICY.dependencies))
    ]
    return [*healthy, report("postgresql", [OK, MISS, MISS, MISS], 5, scope=scope, sequence=1)]


async def test_everything_that_follows_from_an_event_is_stored_when_it_is_taken() -> None:
    bench = Bench()

    await bench.take(*outage())

    assert bench.states()[-1].known_level is Level.MINIMAL
    assert [change.to_level for change in bench.changes()] == ["MINIMAL"]
    assert bench.changes()[0].version == bench.states()[-1].version
    assert "default" in bench.shelf().states


async def test_events_without_news_store_nothing_for_ten_seconds() -> None:
    bench = Bench()
    await bench.take(*outage()[:4])
    stored = len(bench.bus.records(Topic.ENGINE_STATE))

    await bench.take(report("openai", [OK, OK], 2, sequence=9))
    await bench.partition.tick(None, wall=None)
    assert len(bench.bus.records(Topic.ENGINE_STATE)) == stored
    await bench.take(report("openai", [OK, OK, OK], 12, sequence=10))
    await bench.partition.tick(None, wall=None)

    assert len(bench.bus.records(Topic.ENGINE_STATE)) == stored + 1


async def test_while_kafka_is_away_an_event_waits_and_nothing_is_lost() -> None:
    bench = Bench()
    await bench.take(*outage()[:4])
    bench.bus.up = False

    taking = asyncio.create_task(bench.take(outage()[4]))
    done, _ = await asyncio.wait({taking}, timeout=0.05)
    assert not done
    assert bench.metrics.registry.get_sample_value("degradation_engine_publish_failures_total")
    bench.bus.up = True
    await taking

    assert [change.to_level for change in bench.changes()] == ["MINIMAL"]
    assert bench.states()[-1].known_level is Level.MINIMAL


async def test_a_tick_that_cannot_be_stored_says_so_and_the_next_one_makes_up_for_it() -> None:
    bench = Bench()
    await bench.take(*outage())
    await bench.clock.sleep(40)
    bench.bus.up = False
    with pytest.raises(PublishError):
        await bench.partition.tick({}, wall=bench.clock.now())
    with pytest.raises(PublishError):
        await bench.partition.tick({}, wall=bench.clock.now())
    bench.bus.up = True

    await bench.clock.sleep(40)
    await bench.partition.tick({}, wall=bench.clock.now())

    versions = [state.version.ordered() for state in bench.states()]
    assert versions == sorted(versions)
    assert bench.states()[-1].observed_at == bench.clock.now().replace(
        microsecond=bench.clock.now().microsecond // 1000 * 1000
    )


async def test_a_successor_goes_on_where_the_first_one_stopped() -> None:
    first = Bench()
    await first.take(*outage())
    second = Bench(first.bus, first.clock)

    second.partition.restore(first.shelf())
    await second.partition.tick(None, wall=second.clock.now())

    assert second.states()[-1].version == first.changes()[-1].version
    assert second.states()[-1].known_level is Level.MINIMAL


async def test_events_taken_twice_by_a_successor_publish_the_same_identities_again() -> None:
    first = Bench()
    events = outage()
    await first.take(*events[:4])
    shelf = first.shelf()
    await first.take(events[4])
    (change,) = first.changes()
    second = Bench(first.bus, first.clock)
    second.partition.restore(shelf)
    second.partition._outbox.at_least(first.shelf().versions)

    await second.partition.take([message(events[4], 4, seconds=5)])

    assert second.changes() == [change, change]


async def test_a_version_older_than_one_that_went_out_is_kept_back() -> None:
    first = Bench()
    await first.take(*outage()[:4])
    behind = first.shelf().states
    await first.take(outage()[4])
    shelf = first.shelf()
    shelf.states = behind
    before = len(first.states())
    second = Bench(first.bus, first.clock)

    second.partition.restore(shelf)
    await second.partition.tick(None, wall=None)
    await second.partition.take([message(report("redis", [OK, OK], 5, sequence=3), 5)])
    assert len(second.states()) == before
    await second.partition.tick(None, wall=second.clock.now())

    versions = [state.version.ordered() for state in second.states()]
    assert versions == sorted(versions)
    assert len(second.states()) > before


async def test_a_lost_state_goes_on_at_the_published_level_in_a_new_epoch() -> None:
    first = Bench()
    await first.take(*outage())
    first.bus.reset(Topic.ENGINE_STATE)
    second = Bench(first.bus, first.clock)

    second.partition.restore(first.shelf())
    await second.partition.tick(None, wall=second.clock.now())

    assert second.states()[-1].known_level is Level.MINIMAL
    assert second.states()[-1].version.epoch > first.changes()[-1].version.epoch
    assert second.metrics.registry.get_sample_value("degradation_engine_lost_states_total") == 1


async def test_ticks_before_everything_is_taken_move_no_clock_beyond_the_log() -> None:
    bench = Bench()
    await bench.take(*outage())
    await bench.clock.sleep(600)

    await bench.partition.tick({}, wall=None)
    assert not bench.states()[-1].stale
    await bench.partition.tick({}, wall=bench.clock.now())

    assert bench.states()[-1].stale


async def test_a_hold_comes_with_a_tick_and_goes_with_one() -> None:
    bench = Bench()
    await bench.take(*outage()[:4])

    await bench.partition.tick({"default": level_hold(Level.LIMITED, 0)}, wall=bench.clock.now())
    await bench.partition.tick(None, wall=bench.clock.now())
    assert bench.states()[-1].level == "LIMITED"
    await bench.partition.tick({}, wall=bench.clock.now())

    assert [change.to_level for change in bench.changes()] == ["LIMITED", "OPTIMAL"]


async def test_a_record_from_before_its_time_counts_as_of_now() -> None:
    bench = Bench()

    await bench.partition.take([message(report("redis", [OK], 0), seconds=3600)])

    assert bench.states()[-1].observed_at == START


@pytest.mark.parametrize(
    ("bad", "cause", "words"),
    [
        (message(report("redis", [OK], 0), key=b"other"), None, "key is not"),
        (message(report("payments", [OK], 0)), Refused, "unknown_dependency"),
        (message(report("redis", [OK], 90_000), seconds=0), Refused, "time_ahead"),
        (stored(b"default", b"\x00\xff"), CodecError, "missing"),
        (stored(b"default", None), CodecError, "empty"),
        (stored(b"default", b"{" * 600_000), CodecError, "bytes"),
    ],
    ids=["key", "dependency", "future", "random bytes", "empty", "oversized"],
)
async def test_what_cannot_be_taken_is_bad_with_its_reason(
    bad: ConsumerRecord[bytes, bytes], cause: type[Exception] | None, words: str
) -> None:
    bench = Bench()

    [(letter, refused)] = await bench.partition.take([bad])

    assert letter is bad
    assert re.search(words, str(refused))
    assert cause is None or isinstance(refused.__cause__, cause)
    assert bench.bus.records(Topic.LEVELS) == []


async def test_another_event_on_the_health_topic_is_bad() -> None:
    record = encode(level_changed(), MONITOR)

    [(_, refused)] = await Bench().partition.take([stored(record.key, record.value, record.headers)])

    assert "not a health event" in str(refused)


async def test_a_scope_in_a_partition_that_is_not_its_own_is_bad() -> None:
    bench = Bench()
    bench.partition.restore(Shelf(6))
    foreign = next(name for name in (f"s{n}" for n in range(100)) if partition_of(name.encode(), 6) != 0)

    [(_, refused)] = await bench.partition.take([message(report("redis", [OK], 0, scope=foreign))])

    assert "belongs to partition" in str(refused)


async def test_a_breaker_of_a_scope_without_a_monitor_is_taken_and_stores_nothing() -> None:
    bench = Bench()

    await bench.take(breaker("redis", BreakerState.OPEN, 1))
    await bench.partition.tick({}, wall=at(60))
    await bench.partition.store()

    assert [bench.bus.records(topic) for topic in (Topic.LEVELS, Topic.ENGINE_STATE)] == [[], []]


async def test_states_not_stored_yet_are_stored_before_a_partition_is_given_up() -> None:
    bench = Bench()
    await bench.take(*outage()[:4], report("redis", [OK, OK], 3, sequence=8))
    stored = len(bench.bus.records(Topic.ENGINE_STATE))

    await bench.partition.store()
    await bench.partition.store()

    assert len(bench.bus.records(Topic.ENGINE_STATE)) == stored + 1


async def test_the_published_states_are_those_of_the_engine_alone() -> None:
    shop = Shop().run(60)
    shop.down.add("postgresql")
    shop.run(60)
    bench = Bench()

    for offset, event in enumerate(shop.log):
        await bench.clock.sleep(max(0.0, (event.observed_at - bench.clock.now()) / timedelta(seconds=1)))
        await bench.partition.take([message(event, offset)])

    assert bench.changes() == shop.changes


async def test_a_change_belongs_to_the_trace_of_the_event_that_caused_it() -> None:
    bench = Bench()
    *before, cause = outage()
    await bench.take(*before)
    trace = f"00-{7:032x}-{1:016x}-01"

    await bench.clock.sleep(5)
    sent = message(cause, offset=len(before))
    headers = (*sent.headers, ("ce_traceparent", trace.encode()))
    await bench.partition.take([dataclasses.replace(sent, headers=headers)])

    (change,) = bench.bus.records(Topic.LEVEL_CHANGES)
    assert decode(change.value, change.headers).traceparent == trace
    assert decode(*_last(bench.bus, Topic.LEVELS)).traceparent == trace


async def test_a_trace_leaves_what_is_said_and_stored_as_it_is() -> None:
    traced, plain = Bench(), Bench()
    trace = f"00-{7:032x}-{1:016x}-01".encode()

    for number, event in enumerate(outage()):
        sent = message(event, number)
        await plain.partition.take([sent])
        await traced.partition.take(
            [dataclasses.replace(sent, headers=(*sent.headers, ("ce_traceparent", trace)))]
        )

    for topic in (Topic.LEVELS, Topic.LEVEL_CHANGES, Topic.ENGINE_STATE):
        told, same = plain.bus.records(topic), traced.bus.records(topic)
        assert [record.value for record in told] == [record.value for record in same] != []
        assert all(name != "ce_traceparent" for record in told for name, _ in record.headers)


async def test_a_change_that_no_event_caused_begins_a_trace_and_a_heartbeat_none() -> None:
    exporter = InMemorySpanExporter()
    bench = Bench(tracing=OtelTracing("degradation-engine", "e1", SimpleSpanProcessor(exporter)))
    await bench.take(*outage()[:-1])
    exporter.clear()

    await bench.clock.sleep(40)
    await bench.partition.tick({}, wall=bench.clock.now())
    spans_of_heartbeats = exporter.get_finished_spans()
    await bench.partition.tick({"default": level_hold(Level.LIMITED, 0)}, wall=bench.clock.now())

    change = bench.bus.records(Topic.LEVEL_CHANGES)[-1]
    (span,) = exporter.get_finished_spans()
    assert spans_of_heartbeats == ()
    assert (span.name, span.parent) == ("tick", None)
    assert span.context is not None
    assert f"{span.context.trace_id:032x}" in str(decode(change.value, change.headers).traceparent)


def _last(bus: MemoryBus, topic: Topic) -> tuple[bytes | None, Headers]:
    record = bus.records(topic)[-1]
    return record.value, record.headers
