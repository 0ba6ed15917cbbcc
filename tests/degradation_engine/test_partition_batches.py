"""Taking events in batches: the same decisions, told with fewer words; one scope's trouble is not another's."""

from __future__ import annotations

import json
from datetime import timedelta
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from resilience_contracts import HealthObserved, Level, Outcome, Topic
from tests.degradation_engine.records import stored
from tests.degradation_engine.shop import Shop, report
from tests.degradation_engine.test_partition import Bench, message, outage

OK, MISS = Outcome.OK, Outcome.TIMEOUT


def stormy() -> list[HealthObserved]:
    shop = Shop().run(20)
    shop.down.add("postgresql")
    shop.run(40)
    shop.down.clear()
    return shop.run(200).log


LOG = stormy()


async def taken(log: list[HealthObserved], cuts: list[int]) -> Bench:
    """Take a log in batches that end at the cuts, each when its last event is stored."""
    bench = Bench()
    for first, last in pairwise(sorted({0, *cuts, len(log)})):
        ahead_s = (log[last - 1].observed_at - bench.clock.now()) / timedelta(seconds=1)
        await bench.clock.sleep(max(0.0, ahead_s))
        batch = [message(event, first + index) for index, event in enumerate(log[first:last])]
        assert await bench.partition.take(batch) == []
    await bench.partition.store()
    return bench


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, len(LOG) - 1), max_size=12))
async def test_any_batching_ends_in_the_same_bytes(cuts: list[int]) -> None:
    single = await taken(LOG, list(range(len(LOG))))

    batched = await taken(LOG, cuts)

    assert batched.changes() == single.changes()
    assert batched.changes()
    assert batched.shelf().states == single.shelf().states
    assert batched.states()[-1].version == single.states()[-1].version


async def test_a_batch_tells_each_scope_once_and_every_change() -> None:
    batched = await taken(LOG, [])

    assert len(batched.states()) == 1
    assert [change.to_level for change in batched.changes()] == ["MINIMAL", "LIMITED"]
    assert len(batched.bus.records(Topic.ENGINE_STATE)) <= 2


async def test_bad_events_in_a_batch_leave_the_others_as_they_are() -> None:
    bench = Bench()
    good = [message(event, 2 * index) for index, event in enumerate(outage())]
    bad = [stored(b"default", b"garbage", offset=2 * index + 1) for index in range(len(good))]
    await bench.clock.sleep(5)

    refused = await bench.partition.take([event for pair in zip(good, bad, strict=True) for event in pair])

    assert [letter for letter, _ in refused] == bad
    assert bench.states()[-1].known_level is Level.MINIMAL


async def test_a_hostile_scope_costs_another_no_word_and_no_record() -> None:
    hostile = [
        report(
            "openai",
            [OK, *[MISS if sequence % 2 else OK] * 4],
            1 + sequence / 100,
            scope="bad",
            sequence=sequence,
        )
        for sequence in range(400)
    ]
    quiet = [report("redis", [OK], 0), report("redis", [OK, OK], 5.5, sequence=1)]
    alone, beside = Bench(), Bench()
    for bench in (alone, beside):
        await bench.clock.sleep(6)

    await alone.partition.take([message(event, index) for index, event in enumerate(quiet)])
    mixed = [quiet[0], *hostile, quiet[1]]
    await beside.partition.take([message(event, index) for index, event in enumerate(mixed)])

    told = [state for state in beside.states() if state.scope == "default"]
    assert told == alone.states()
    assert len([state for state in beside.states() if state.scope == "bad"]) == 1
    stored = json.loads(beside.shelf().states["default"])
    assert stored == json.loads(alone.shelf().states["default"])
