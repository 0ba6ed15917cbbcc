from __future__ import annotations

from resilience_guards import RetryBudget
from tests.bench.guards_overload import Server
from tests.bench.guards_places import Shop, bulkhead, open_door, single_flight


def test_goodput_at_four_times_capacity_stays_above_nine_tenths() -> None:
    guarded = Server(4.0, 5, length_s=20.0).guard(by_class=True).run()

    assert guarded.goodput() > 0.9
    assert guarded.p99_ms() < 100
    assert guarded.served()[0] > 0.99  # the most important calls alone are 0.4 of capacity
    assert guarded.served() == sorted(guarded.served(), reverse=True)


def test_without_guards_it_collapses() -> None:
    assert Server(4.0, 5, length_s=15.0).run().goodput() < 0.05


def test_retries_within_a_budget_let_a_standstill_pass_and_others_never_do() -> None:
    kept = Server(0.7, 5, length_s=30.0).storm(RetryBudget()).run()
    storm = Server(0.7, 5, length_s=30.0).storm(None).run()

    assert kept.goodput() > 0.9 * 0.7
    assert storm.goodput() < 0.05


async def test_behind_a_bulkhead_goodput_stays_above_nine_tenths() -> None:
    guarded, unguarded = Shop(bulkhead), Shop(open_door)
    await guarded.run(2.0)
    await unguarded.run(2.0)

    assert guarded.goodput(2.0) > 0.9
    assert unguarded.goodput(2.0) < 0.1


async def test_who_joins_a_flight_is_answered_in_time() -> None:
    joined = Shop(single_flight)
    await joined.run(2.0)

    assert joined.answered() > 0.95
