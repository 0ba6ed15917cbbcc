from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience_guards import CallNotPermitted, Retry, RetryBudget, State


async def no_sleep(_: float) -> None:
    return


def retry(budget: RetryBudget, **more: Any) -> Retry:
    return Retry(budget=budget, rng=random.Random(1), sleep=more.pop("sleep", no_sleep), **more)


class Failing:
    def __init__(self, times: int, error: Exception | None = None) -> None:
        self.calls = 0
        self._times = times
        self._error = error or OSError("down")

    async def __call__(self) -> int:
        self.calls += 1
        if self.calls <= self._times:
            raise self._error
        return self.calls


@given(
    share=st.sampled_from([0.05, 0.1, 0.5, 1.0]),
    spare=st.integers(0, 5),
    wishes=st.lists(st.integers(0, 4), max_size=300),
)
def test_retries_are_at_most_their_share_of_calls(share: float, spare: int, wishes: list[int]) -> None:
    budget, retries = RetryBudget(share, spare), 0

    for calls, wished in enumerate(wishes, start=1):
        budget.called()
        retries += sum(budget.take() for _ in range(wished))

        assert retries <= spare + share * calls + 1e-6


def test_ten_calls_pay_for_one_retry() -> None:
    budget = RetryBudget()

    for _ in range(9):
        budget.called()
    early = budget.take()
    budget.called()

    assert (early, budget.take(), budget.take()) == (False, True, False)


def test_a_quiet_hour_does_not_pay_for_a_storm() -> None:
    budget = RetryBudget(most=10)

    for _ in range(100_000):
        budget.called()

    assert sum(budget.take() for _ in range(1000)) == 10


async def test_calls_again_while_the_budget_allows() -> None:
    failing = Failing(2)

    assert await retry(RetryBudget(spare=5), attempts=3).call(failing) == 3

    broke = Failing(1)
    with pytest.raises(OSError, match="down"):
        await retry(RetryBudget(), attempts=3).call(broke)
    assert broke.calls == 1


async def test_layers_do_not_multiply() -> None:
    budget, failing = RetryBudget(spare=100, most=100), Failing(1000)
    inner, outer = retry(budget, attempts=3), retry(budget, attempts=3)

    with pytest.raises(OSError, match="down"):
        await outer.call(lambda: inner.call(failing))

    assert failing.calls == 3


async def test_a_refusal_by_a_guard_is_not_tried_again() -> None:
    refused = Failing(9, CallNotPermitted("db", State.OPEN, 1.0))

    with pytest.raises(CallNotPermitted):
        await retry(RetryBudget(spare=9), attempts=3).call(refused)

    assert refused.calls == 1


async def test_waits_are_spread_and_bounded() -> None:
    waits: list[float] = []

    async def note(wait_s: float) -> None:
        waits.append(wait_s)

    policy = retry(RetryBudget(spare=9), attempts=6, wait_s=0.1, wait_cap_s=0.3, sleep=note)
    await policy.call(Failing(5))

    assert all(0 <= wait <= bound for wait, bound in zip(waits, [0.1, 0.2, 0.3, 0.3, 0.3], strict=True))
    assert len(set(waits)) == 5
