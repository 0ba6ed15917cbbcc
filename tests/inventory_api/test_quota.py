from __future__ import annotations

import asyncio
import multiprocessing
import time
import uuid
from concurrent.futures import ProcessPoolExecutor
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from inventory_api.adapters import cache
from inventory_api.adapters.shared_quota import SharedQuota
from inventory_api.domain.quota import Quota
from resilience_guards import BreakerSettings, CircuitBreaker
from resilience_runtime import ManualClock

START_S = 1_000_000.0


def test_what_is_over_the_limit_is_refused_until_the_time_it_names() -> None:
    quota = Quota(5, 10)

    passed = [quota.take("a", START_S).passed for _ in range(6)]
    refused = quota.take("a", START_S + 3)

    assert passed == [True] * 5 + [False]
    assert not quota.take("a", START_S + 3 + refused.wait_s - 2).passed
    assert quota.take("a", START_S + 3 + refused.wait_s).passed


def test_callers_do_not_use_up_one_anothers_quota() -> None:
    quota = Quota(1, 10)
    assert quota.take("a", START_S).passed

    assert quota.take("b", START_S).passed


def test_what_must_pass_passes_and_counts() -> None:
    quota = Quota(1, 10)
    quota.take("a", START_S)

    assert quota.take("a", START_S, must_pass=True).passed
    assert quota.unshared()["a"].unshared == 2


def test_a_clock_that_is_set_back_shuts_nobody_out() -> None:
    quota = Quota(100, 10)
    for second in range(60):
        quota.take("a", START_S + second)

    assert all(quota.take("a", START_S - 3600 + second).passed for second in range(300))


def test_a_clock_that_is_set_back_by_a_second_gives_no_second_quota() -> None:
    quota = Quota(5, 10)

    passed = [quota.take("a", START_S + 0.1).passed for _ in range(5)]

    assert passed == [True] * 5
    assert not quota.take("a", START_S - 0.9).passed


def test_requests_that_other_replicas_let_pass_count() -> None:
    quota = Quota(10, 10)
    quota.take("a", START_S)
    window = int(START_S // 10)

    quota.heard("a", window, 1, 10, 0)

    assert not quota.take("a", START_S).passed
    assert quota.take("b", START_S).passed
    assert not quota.unshared().get("a")


@given(
    st.lists(st.floats(0, 40, allow_nan=False), min_size=1, max_size=200),
    st.integers(1, 20),
)
def test_no_window_lets_more_pass_than_twice_the_limit_and_each_fixed_one_no_more_than_it(
    times: list[float], limit: int
) -> None:
    quota = Quota(limit, 10)

    passed = [at for at in sorted(times) if quota.take("a", START_S + at).passed]

    for window in range(5):
        assert sum(window * 10 <= at < window * 10 + 10 for at in passed) <= limit
    assert passed[0] == min(times)


@given(st.integers(1, 50), st.lists(st.floats(0, 30, allow_nan=False), max_size=100))
def test_who_waits_as_told_is_served(limit: int, times: list[float]) -> None:
    quota = Quota(limit, 10)
    for at in sorted(times):
        quota.take("a", START_S + at)
    now_s = START_S + max(times, default=0.0)

    verdict = quota.take("a", now_s)
    if not verdict.passed:
        verdict = quota.take("a", now_s + verdict.wait_s)

    assert verdict.passed


REPLICAS, LIMIT, BETWEEN = 3, 120, 5


def pass_through_one_replica(redis_url: str, caller: str, asked: int) -> int:
    """Be a replica: ask so often, tell the others after every few; return how many passed."""

    async def ask() -> int:
        quota, client = Quota(LIMIT, 10), cache.connect(redis_url, 5)
        breaker = CircuitBreaker("redis", BreakerSettings(), time.monotonic, Random(1))
        shared = SharedQuota(quota, client, breaker, ManualClock())
        passed = 0
        for number in range(asked):
            passed += quota.take(caller, START_S).passed
            if number % BETWEEN == BETWEEN - 1:
                await shared.share()
        await client.aclose()
        return passed

    return asyncio.run(ask())


def test_replicas_in_processes_of_their_own_share_one_quota(redis_url: str) -> None:
    caller = f"key {uuid.uuid4()}"
    with ProcessPoolExecutor(REPLICAS, multiprocessing.get_context("spawn")) as replicas:
        running = [
            replicas.submit(pass_through_one_replica, redis_url, caller, LIMIT) for _ in range(REPLICAS)
        ]
        passed = [each.result(timeout=60) for each in running]
    late = pass_through_one_replica(redis_url, caller, LIMIT)

    assert LIMIT <= sum(passed) <= LIMIT + REPLICAS * BETWEEN
    assert late <= BETWEEN


def test_without_redis_each_replica_counts_its_own() -> None:
    passed = pass_through_one_replica("redis://127.0.0.1:1", "a", LIMIT * 2)

    assert passed == LIMIT
