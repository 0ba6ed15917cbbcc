"""A short run of the bench `guards_memory`: what a breaker takes, and that calls leave nothing behind."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from resilience_guards import BreakerSettings, CircuitBreaker
from tests.bench.guards_memory import (
    BYTES_EACH_BOUND,
    KEPT_BOUND,
    calling,
    kept_after,
    losing_probes,
    refusing,
    size_each,
)


@pytest.mark.parametrize("settings", [BreakerSettings(), BreakerSettings(window_s=60)], ids=["calls", "time"])
def test_a_breaker_takes_at_most_20_kb(settings: BreakerSettings) -> None:
    assert 0 < size_each(settings) <= BYTES_EACH_BOUND


@pytest.mark.parametrize(
    "work",
    [
        lambda: calling(CircuitBreaker("calls")),
        lambda: calling(CircuitBreaker("time", BreakerSettings(window_s=60))),
        refusing,
        losing_probes,
    ],
    ids=["calls", "calls in a time window", "refusals", "lost probes"],
)
def test_nothing_is_kept(work: Callable[[], Callable[[int], object]]) -> None:
    assert kept_after(work(), 10_000) <= KEPT_BOUND
