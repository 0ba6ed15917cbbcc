"""A hold that a killed worker announced and did not store."""

from __future__ import annotations

import pytest

from resilience_contracts import Level, Outcome
from tests.degradation_engine.shop import level_hold, report
from tests.degradation_engine.test_partition import Bench, outage

OK = Outcome.OK


@pytest.mark.parametrize("events_after", [0, 1])
async def test_a_hold_announced_and_not_stored_is_announced_by_the_successor_with_the_same_identity(
    events_after: int,
) -> None:
    first = Bench()
    await first.take(*outage()[:4])
    behind = first.shelf().states
    await first.clock.sleep(2)
    holds = {"default": level_hold(Level.LIMITED, 0)}
    await first.partition.tick(holds, wall=first.clock.now())
    (change,) = first.changes()
    shelf = first.shelf()
    shelf.states = behind
    second = Bench(first.bus, first.clock)

    second.partition.restore(shelf, holds)
    await first.clock.sleep(5)
    for sequence in range(events_after):
        await second.take(report("redis", [OK, OK], 4, sequence=3 + sequence))
    await second.partition.tick(holds, wall=None)
    await second.partition.tick(holds, wall=second.clock.now())

    assert {said.event_id for said in second.changes()} == {change.event_id}
    assert second.changes()[-1] == change
    assert second.states()[-1].level == "LIMITED"
