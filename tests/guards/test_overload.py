from __future__ import annotations

from resilience_guards import RetryBudget
from tests.bench.guards_overload import Server


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
