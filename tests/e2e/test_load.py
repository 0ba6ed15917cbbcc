"""A short sample of `make load`, at a rate that a busy machine bears; bounds on time are the benchmark's."""

from __future__ import annotations

from collections import Counter

import pytest

from resilience_cli.stack import SERVICES
from resilience_contracts import Level
from tests.bench.inventory_client import CLIENT_CORES, SERVER_CORES, Answer, client
from tests.bench.load_mix import fill, kinds
from tests.bench.load_phase import DELIBERATE, Phase, Seen, play
from tests.e2e.shop import Shop
from tests.e2e.test_outages import both_at
from tests.fixtures.stack import RunningStack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]
SKUS, PER_S, SOAK_PER_S = 10, 40, 100
SOAK = Phase("soak", 60.0, SOAK_PER_S, connections=50)
GROWN_MB = 2.0
"""Some 400 bytes of each request; the benchmark's ten minutes and more find what leaks less."""
OUTAGE = Phase("redis-kill", 20.0, PER_S, "redis-kill", before_s=3.0, down_s=4.0, connections=50)


def answered(phase: Phase, per_s: int, stack: RunningStack, shop: Shop) -> Seen:
    """Load the stack; every request must have been answered on purpose."""
    both_at(shop, Level.OPTIMAL)
    fill(stack.url("inventory-api"), SKUS)
    with client(SERVER_CORES | CLIENT_CORES) as pool:
        seen = play(phase, stack, pool, kinds(SKUS))
    assert set(seen.given) <= DELIBERATE, {kind: one.statuses for kind, one in seen.outcomes.items()}
    assert seen.given.total() == phase.seconds * per_s
    return seen


def test_a_load_with_an_outage_in_its_middle_is_answered_on_purpose(
    quick_stack: RunningStack, shop: Shop
) -> None:
    seen = answered(OUTAGE, PER_S, quick_stack, shop)

    looked = Counter(seen.outcomes["stock of one"].answers)
    assert looked[Answer.SERVED] > looked.total() / 2, looked
    assert seen.recovered_s < OUTAGE.seconds - OUTAGE.before_s - OUTAGE.down_s, looked


def test_a_soak_lets_no_service_grow(quick_stack: RunningStack, shop: Shop) -> None:
    grown = answered(SOAK, SOAK_PER_S, quick_stack, shop).grown_mb()

    assert set(grown) == set(SERVICES)
    assert max(grown.values()) <= GROWN_MB, grown
