"""What the engine and flag-service keep is lost while all run: the procedures of docs/runbooks/recovery.md that are short.

The longer ones are in test_losses.py.
"""

from __future__ import annotations

import httpx
import pytest

from resilience_cli.main import run
from resilience_cli.stack import run_apart
from resilience_contracts import Level, Topic
from tests.e2e.losing import follows
from tests.e2e.shop import Shop, until
from tests.e2e.test_kills import Onlooker
from tests.e2e.test_outages import both_at
from tests.fixtures.stack import RunningStack
from tests.fixtures.topics import delete_topic

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

FEATURE = "integrations.ai_assistant"


def test_without_its_state_topic_the_engine_goes_on_and_after_a_restart_begins_a_later_epoch(
    quick_stack: RunningStack, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESILIENCE_STACK_DIR", str(quick_stack.root))
    before = both_at(shop, Level.OPTIMAL)
    with Onlooker(quick_stack) as onlooker:
        run_apart(delete_topic(quick_stack.bootstrap, Topic.ENGINE_STATE))
        quick_stack.stop("degradation-engine")
        assert run(["topics", "apply"]) == 0
        quick_stack.restore("degradation-engine")
        follows(quick_stack, shop, before)

    assert onlooker.failures == []
    assert all(seen == sorted(seen) for seen in onlooker.versions.values())
    assert onlooker.versions["flag-service"][-1][0] > before[0]


def test_without_its_snapshot_flag_service_reads_all_of_it_from_kafka(
    quick_stack: RunningStack, shop: Shop
) -> None:
    before = both_at(shop, Level.OPTIMAL)
    shop.hold(FEATURE, "DISABLED")
    try:
        quick_stack.stop("flag-service")
        (quick_stack.root / "state" / "flag-service" / "flag-service.json").unlink()
        quick_stack.restore("flag-service")

        assert before <= both_at(shop, Level.OPTIMAL)
        holds = shop.flags.get("/v1/holds").raise_for_status().json()["holds"]
        assert [hold["target"] for hold in holds] == [FEATURE]
    finally:
        shop.end_hold(FEATURE)
    until("its end at inventory-api", lambda: shop.ask().status_code == httpx.codes.OK)
