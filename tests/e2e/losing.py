"""What is lost on purpose, and how it is seen that the system lives on."""

from __future__ import annotations

from resilience_contracts import Level
from tests.e2e.shop import Shop
from tests.e2e.test_outages import both_at
from tests.fixtures.stack import RunningStack


def follows(stack: RunningStack, shop: Shop, before: tuple[int, int]) -> None:
    """Show that levels still follow the truth, each newer than the last."""
    shop.availability()
    stack.stop("s3")
    during = both_at(shop, Level.DEGRADED)
    stack.restore("s3")
    assert before < during < both_at(shop, Level.OPTIMAL)
